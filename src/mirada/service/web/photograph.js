// A decoded photograph and halves of it, so that each frame draws from one little larger than what is shown.

const SMALLEST = 1024; // pixels of the longer side

export class Photograph {
  /** @param {ImageBitmap} bitmap decoded once */
  constructor(bitmap) {
    this.levels = [bitmap];
    this.halve().catch(() => {}); // it was closed meanwhile
  }

  /** Each a half of the one before; until one is there, a larger one does. */
  async halve() {
    for (let last = this.levels[0]; Math.max(last.width, last.height) > SMALLEST; last = this.levels.at(-1)) {
      const [resizeWidth, resizeHeight] = [last.width, last.height].map((side) => Math.max(1, Math.round(side / 2)));
      this.levels.push(await createImageBitmap(last, { resizeWidth, resizeHeight, resizeQuality: "medium" }));
    }
  }

  /** Fill a canvas with a part of the photograph, given in shares of its sides. */
  draw(context, left, top, share) {
    const { width, height } = context.canvas;
    const level = this.levels.findLast((one) => one.width * share >= width) ?? this.levels[0];
    context.imageSmoothingQuality = "medium";
    const part = [left * level.width, top * level.height, share * level.width, share * level.height];
    context.drawImage(level, ...part, 0, 0, width, height);
  }

  close() {
    for (const level of this.levels) level.close();
  }
}

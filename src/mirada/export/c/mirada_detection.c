/* Detections: cells above the floor, the best of them as boxes, and non-maximum suppression label by label. */
#include "mirada_decoder.h"

#if MIRADA_LABELS > 1
#include <math.h>
#endif

/* mirada_outputs are the objectness of each level, then the classes (of several labels), then the distances. */
#define OBJECTNESS 0
#define CLASSES MIRADA_LEVELS
#define DISTANCES (MIRADA_LABELS > 1 ? 2 * MIRADA_LEVELS : MIRADA_LEVELS)

static const float NO_AREA = 1e-30f; /* in the place of 0: boxes without area are not divided by nothing */

static float larger(float a, float b) { return a > b ? a : b; }
static float smaller(float a, float b) { return a < b ? a : b; }

/* Best score first; of equal ones the cell that comes first. */
static int precedes(const mirada_candidate *a, const mirada_candidate *b) {
  return a->score > b->score || (a->score == b->score && a->cell < b->cell);
}

/* Let the entry at `place` of a heap, whose root is the worst, sink to where it belongs. */
static void sink(mirada_candidate *heap, int count, int place) {
  for (;;) {
    int worst = place, child;
    for (child = 2 * place + 1; child <= 2 * place + 2 && child < count; child++) {
      if (precedes(&heap[worst], &heap[child])) worst = child;
    }
    if (worst == place) return;
    mirada_candidate moved = heap[place];
    heap[place] = heap[worst];
    heap[worst] = moved;
    place = worst;
  }
}

static void rise(mirada_candidate *heap, int place) {
  while (place > 0 && precedes(&heap[(place - 1) / 2], &heap[place])) {
    mirada_candidate moved = heap[place];
    heap[place] = heap[(place - 1) / 2];
    heap[(place - 1) / 2] = moved;
    place = (place - 1) / 2;
  }
}

#if MIRADA_LABELS > 1
#define MIRADA_REAL float
#include "mirada_sum.h"

/* The likeliest class of a cell; `score` is divided by the sum of the exponentials, which is softmax's maximum. */
static int classify(const int8_t *codes, const mirada_output *output, float *score) {
  float exponentials[MIRADA_LABELS], most;
  int label = 0, k;
  for (k = 1; k < MIRADA_LABELS; k++) {
    if (codes[k] > codes[label]) label = k;
  }
  most = (float)(codes[label] - output->zero_point) * output->scale;
  for (k = 0; k < MIRADA_LABELS; k++) {
    float logit = (float)(codes[k] - output->zero_point) * output->scale;
    float below = logit - most;
    exponentials[k] = (float)exp((double)below);
  }
  *score = *score / sum(exponentials, MIRADA_LABELS);
  return label;
}
#endif

/* The best candidates among all cells, as a heap whose root is the worst; returns how many. */
static int collect(const int8_t *const outputs[MIRADA_OUTPUTS], mirada_candidate *heap) {
  int level, place, count = 0, cell = 0;
  for (level = 0; level < MIRADA_LEVELS; level++) {
    const int cells = mirada_outputs[OBJECTNESS + level].size;
    for (place = 0; place < cells; place++, cell++) {
      mirada_candidate found;
      found.score = mirada_sigmoid[level][outputs[OBJECTNESS + level][place] + 128];
      found.cell = cell;
      found.label = 0;
      if (!(found.score >= MIRADA_SCORE_FLOOR)) continue;
#if MIRADA_LABELS > 1
      found.label = classify(outputs[CLASSES + level] + (long)place * MIRADA_LABELS, &mirada_outputs[CLASSES + level],
                             &found.score);
      if (!(found.score >= MIRADA_SCORE_FLOOR)) continue;
#endif
      if (count < MIRADA_CANDIDATES) {
        heap[count] = found;
        rise(heap, count++);
      } else if (precedes(&found, &heap[0])) {
        heap[0] = found;
        sink(heap, count, 0);
      }
    }
  }
  return count;
}

/* The box of a cell: softplus(distance) * stride to each side of its centre, cut to the input. */
static void measure(const int8_t *const outputs[MIRADA_OUTPUTS], int cell, float box[4]) {
  const float side = (float)MIRADA_INPUT_SIZE;
  int level = 0, k;
  while (cell >= mirada_outputs[OBJECTNESS + level].size) cell -= mirada_outputs[OBJECTNESS + level++].size;
  {
    const int stride = mirada_strides[level], columns = MIRADA_INPUT_SIZE / stride;
    const int8_t *codes = outputs[DISTANCES + level] + (long)cell * 4;
    const float centre[2] = {((float)(cell % columns) + 0.5f) * (float)stride,
                             ((float)(cell / columns) + 0.5f) * (float)stride};
    for (k = 0; k < 4; k++) {
      const float reach = mirada_softplus[level][codes[k] + 128] * (float)stride;
      const float corner = k < 2 ? centre[k] - reach : centre[k - 2] + reach;
      box[k] = smaller(larger(corner, 0.0f), side);
    }
  }
}

static float area(const float box[4]) {
  const float width = larger(box[2] - box[0], 0.0f), height = larger(box[3] - box[1], 0.0f);
  return larger(width * height, NO_AREA);
}

/* Whether the intersection over union of two boxes exceeds MIRADA_NMS_IOU. */
static int overlap(const float a[4], float a_area, const float b[4], float b_area) {
  const float width = larger(smaller(a[2], b[2]) - larger(a[0], b[0]), 0.0f);
  const float height = smaller(a[3], b[3]) - larger(a[1], b[1]); /* below 0 where they are apart: exceeds nothing */
  const float shared = width * height;
  const float both = a_area + b_area;
  return shared / (both - shared) > MIRADA_NMS_IOU;
}

int mirada_decode(const int8_t *const outputs[MIRADA_OUTPUTS], mirada_workspace *workspace,
                  mirada_object objects[MIRADA_MAX_DETECTIONS]) {
  mirada_candidate *const candidates = workspace->candidates;
  const int count = collect(outputs, candidates);
  int left, i, j, kept = 0;
  for (left = count - 1; left > 0; left--) { /* the worst goes to the end: best first when all have gone */
    const mirada_candidate worst = candidates[0];
    candidates[0] = candidates[left];
    candidates[left] = worst;
    sink(candidates, left, 0);
  }
  for (i = 0; i < count && kept < MIRADA_MAX_DETECTIONS; i++) {
    mirada_object *const object = &objects[kept];
    measure(outputs, (int)candidates[i].cell, object->box);
    object->score = candidates[i].score;
    object->label = (int)candidates[i].label;
    workspace->areas[kept] = area(object->box);
    for (j = 0; j < kept; j++) {
      if (objects[j].label == object->label &&
          overlap(objects[j].box, workspace->areas[j], object->box, workspace->areas[kept])) {
        break;
      }
    }
    if (j == kept) kept++;
  }
  return kept;
}

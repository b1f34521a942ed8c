/* An example: reads output tensors from files and prints what they say.
 *
 *   mirada_main TENSORS...
 *
 * Each file holds the codes of all of mirada_outputs, one after the other, as int8. Numbers are printed with %a, which
 * loses nothing. On a device the codes are where the interpreter leaves them: output i is that of
 * interpreter->output(mirada_outputs[i].index).
 */
#include <stdio.h>

#include "mirada_decoder.h"

static int8_t codes[MIRADA_CODES];
static mirada_workspace workspace;

static int read_codes(const char *path) {
  FILE *const file = fopen(path, "rb");
  size_t count = 0;
  int more = EOF;
  if (file) {
    count = fread(codes, 1, sizeof codes, file);
    more = fgetc(file);
    fclose(file);
  }
  if (count == sizeof codes && more == EOF) return 1;
  fprintf(stderr, "%s does not hold the %lu bytes of the outputs\n", path, (unsigned long)sizeof codes);
  return 0;
}

static void print_answer(const int8_t *const outputs[MIRADA_OUTPUTS]) {
#if MIRADA_DETECTION
  static mirada_object objects[MIRADA_MAX_DETECTIONS];
  const int count = mirada_decode(outputs, &workspace, objects);
  int i;
  printf("objects %d\n", count);
  for (i = 0; i < count; i++) {
    const mirada_object *const object = &objects[i];
    printf("%d %a %a %a %a %a %s\n", object->label, (double)object->score, (double)object->box[0], (double)object->box[1],
           (double)object->box[2], (double)object->box[3], mirada_labels[object->label]);
  }
#else
  mirada_answer answer;
  int k;
  mirada_decode(outputs, &workspace, &answer);
  printf("label %d %s\nprobabilities", answer.label, mirada_labels[answer.label]);
  for (k = 0; k < MIRADA_LABELS; k++) printf(" %a", answer.probabilities[k]);
  printf("\n");
#if MIRADA_LOCALIZATION
  printf("box %a %a %a %a\n", (double)answer.box[0], (double)answer.box[1], (double)answer.box[2], (double)answer.box[3]);
#endif
#endif
}

int main(int argc, char **argv) {
  const int8_t *outputs[MIRADA_OUTPUTS];
  int argument, i;
  long place = 0;
  for (i = 0; i < MIRADA_OUTPUTS; place += mirada_outputs[i++].size) outputs[i] = codes + place;
  for (argument = 1; argument < argc; argument++) {
    if (!read_codes(argv[argument])) return 1;
    print_answer(outputs);
  }
  return 0;
}

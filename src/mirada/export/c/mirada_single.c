/* One answer an image: its class, and where its one object is. */
#include <math.h>

#include "mirada_decoder.h"

#define MIRADA_REAL double
#include "mirada_sum.h"

/* Softmax of `values`, in their place. */
static void softmax(double *values, int count) {
  double most = values[0], total;
  int i;
  for (i = 1; i < count; i++) most = values[i] > most ? values[i] : most;
  for (i = 0; i < count; i++) values[i] = exp(values[i] - most);
  total = sum(values, count);
  for (i = 0; i < count; i++) values[i] /= total;
}

static float value_of(int output, const int8_t *codes, long place) {
  return (float)(codes[place] - mirada_outputs[output].zero_point) * mirada_outputs[output].scale;
}

/* From logits to probabilities, in their place, and the label: of two the second from the threshold on. */
static void choose(mirada_answer *answer) {
  int k;
  softmax(answer->probabilities, MIRADA_LABELS);
  answer->label = 0;
#if MIRADA_LABELS == 2
  k = 1;
  answer->label = answer->probabilities[k] >= MIRADA_THRESHOLD;
#else
  for (k = 1; k < MIRADA_LABELS; k++) {
    if (answer->probabilities[k] > answer->probabilities[answer->label]) answer->label = k;
  }
#endif
}

#if MIRADA_CELLS > 0
/* mirada_outputs are the classes, the scores and the distances, one map each. */
void mirada_decode(const int8_t *const outputs[MIRADA_OUTPUTS], mirada_workspace *workspace, mirada_answer *answer) {
  const float side = (float)MIRADA_INPUT_SIZE, stride = (float)MIRADA_STRIDE;
  const int columns = MIRADA_INPUT_SIZE / MIRADA_STRIDE;
  double *const weights = workspace->weights, box[4] = {0.0, 0.0, 0.0, 0.0};
  int cell, k;
  for (cell = 0; cell < MIRADA_CELLS; cell++) weights[cell] = value_of(1, outputs[1], cell);
  softmax(weights, MIRADA_CELLS);
  for (k = 0; k < MIRADA_LABELS; k++) answer->probabilities[k] = 0.0;
  for (cell = 0; cell < MIRADA_CELLS; cell++) {
    const float centre[2] = {((float)(cell % columns) + 0.5f) * stride, ((float)(cell / columns) + 0.5f) * stride};
    for (k = 0; k < 4; k++) {
      const float reach = mirada_softplus[outputs[2][(long)cell * 4 + k] + 128] * stride;
      const float corner = k < 2 ? centre[k] - reach : centre[k - 2] + reach;
      box[k] += weights[cell] * corner;
    }
    for (k = 0; k < MIRADA_LABELS; k++) {
      answer->probabilities[k] += weights[cell] * value_of(0, outputs[0], (long)cell * MIRADA_LABELS + k);
    }
  }
  for (k = 0; k < 4; k++) {
    const float corner = (float)box[k];
    answer->box[k] = corner < 0.0f ? 0.0f : corner > side ? side : corner;
  }
  choose(answer);
}
#else
/* mirada_outputs are the classes and, of a localizer, the box. */
void mirada_decode(const int8_t *const outputs[MIRADA_OUTPUTS], mirada_workspace *workspace, mirada_answer *answer) {
  int k;
  (void)workspace;
  for (k = 0; k < MIRADA_LABELS; k++) answer->probabilities[k] = value_of(0, outputs[0], k);
#if MIRADA_LOCALIZATION
  for (k = 0; k < 4; k++) answer->box[k] = value_of(1, outputs[1], k);
#endif
  choose(answer);
}
#endif

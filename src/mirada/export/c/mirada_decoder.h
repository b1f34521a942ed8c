/* From a network's int8 outputs to what it found. C99, no malloc, no global state.
 *
 * What depends on the model is in mirada_config.h and mirada_tables.c, which are written for it. The arithmetic is that of
 * the Python engine: the same float32 operations in the same order, so products and sums must not be contracted into one
 * rounding (GCC with -std=c99 does not; give other compilers -ffp-contract=off).
 */
#ifndef MIRADA_DECODER_H
#define MIRADA_DECODER_H

#include <stdint.h>

#include "mirada_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An output of the network: its values are (code - zero_point) * scale. */
typedef struct {
  const char *name;
  int index; /* among the outputs of the .tflite: that of interpreter->output(index) */
  int size;  /* codes */
  float scale;
  int zero_point;
} mirada_output;

extern const mirada_output mirada_outputs[MIRADA_OUTPUTS];
extern const char *const mirada_labels[MIRADA_LABELS];

#if MIRADA_DETECTION

typedef struct {
  float box[4]; /* x1, y1, x2, y2 in pixels of the network's input */
  float score;  /* 0..1 */
  int label;    /* index into mirada_labels */
} mirada_object;

typedef struct {
  float score;
  int32_t cell;
  int32_t label;
} mirada_candidate;

/* Memory that decoding needs; make it static. */
typedef struct {
  mirada_candidate candidates[MIRADA_CANDIDATES];
  float areas[MIRADA_MAX_DETECTIONS];
} mirada_workspace;

extern const int mirada_strides[MIRADA_LEVELS];
extern const float mirada_sigmoid[MIRADA_LEVELS][256];  /* of the objectness codes -128..127 */
extern const float mirada_softplus[MIRADA_LEVELS][256]; /* of the distance codes */

/* What the network found, best score first.
 *
 * outputs: the codes of each of mirada_outputs, in that order.
 * Returns how many of `objects` were written.
 */
int mirada_decode(const int8_t *const outputs[MIRADA_OUTPUTS], mirada_workspace *workspace,
                  mirada_object objects[MIRADA_MAX_DETECTIONS]);

#else /* one answer an image: classification or localization */

typedef struct {
  double probabilities[MIRADA_LABELS]; /* their sum is 1 */
  int label;                           /* index into mirada_labels */
#if MIRADA_LOCALIZATION
  float box[4]; /* x1, y1, x2, y2 in pixels of the network's input */
#endif
} mirada_answer;

/* Memory that decoding needs; make it static. */
typedef struct {
  double weights[MIRADA_CELLS > 0 ? MIRADA_CELLS : 1];
} mirada_workspace;

#if MIRADA_CELLS > 0
extern const float mirada_softplus[256]; /* of the distance codes */
#endif

/* What the network takes the image for, and where its object is.
 *
 * outputs: the codes of each of mirada_outputs, in that order.
 */
void mirada_decode(const int8_t *const outputs[MIRADA_OUTPUTS], mirada_workspace *workspace, mirada_answer *answer);

#endif

#ifdef __cplusplus
}
#endif
#endif

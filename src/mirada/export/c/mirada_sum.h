/* A sum in the order in which NumPy adds: eight at a time, halves of what is longer than 128. MIRADA_REAL: float or double. */
static MIRADA_REAL sum(const MIRADA_REAL *values, int count) {
  MIRADA_REAL partial[8], total = 0;
  int i, k;
  if (count > 128) {
    int half = count / 2;
    half -= half % 8;
    return sum(values, half) + sum(values + half, count - half);
  }
  if (count < 8) {
    for (i = 0; i < count; i++) total += values[i];
    return total;
  }
  for (k = 0; k < 8; k++) partial[k] = values[k];
  for (i = 8; i + 8 <= count; i += 8) {
    for (k = 0; k < 8; k++) partial[k] += values[i + k];
  }
  total = ((partial[0] + partial[1]) + (partial[2] + partial[3])) + ((partial[4] + partial[5]) + (partial[6] + partial[7]));
  for (; i < count; i++) total += values[i];
  return total;
}

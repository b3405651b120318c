// The radiance field: density and color of points, from weights in a texture. Constants in capitals are compiled in
// (hypernerf/export/web.py). The functions follow hypernerf/fields/encodings.py and radiance_field.py.
//
// Two points are evaluated at a time, since fetching a weight takes longer than multiplying by it. What is said of them lies in
// matrices with a column for each point. Columns are written by constructors: an index that varies makes some compilers slow.

precision highp float;
precision highp int;
precision highp sampler2D;

#define THREE mat2x3  // three numbers for each of two points
#define FOUR mat2x4

#define UNITS (WIDTH / 4)  // hidden units, in fours

uniform sampler2D weights;  // all tensors of the field end to end, four numbers to a texel; tensor X starts at texel AT_X

vec4 texel(int index) {
  return texelFetch(weights, ivec2(index % ROW, index / ROW), 0);
}

// --- the network -------------------------------------------------------------------------------------------------------
// A matrix [out, in] lies in blocks of 4 x 4, a texel a column: all blocks of the first four outputs, then of the next.
// The arrays are global, since arguments that are arrays would be copied.

FOUR units[UNITS];
FOUR inputs[INPUTS];  // of the next layer

// Four rows of W inputs, for `count` groups of four inputs; the rows' blocks begin at `at`.
FOUR product(int at, int count) {
  FOUR result = FOUR(0.0);
  for (int i = 0; i < count; ++i, at += 4)
    result += mat4(texel(at), texel(at + 1), texel(at + 2), texel(at + 3)) * inputs[i];
  return result;
}

// inputs = relu(W inputs)
void layer(int start, int count) {
  for (int i = 0; i < UNITS; ++i) units[i] = product(start + 4 * count * i, count);
  for (int i = 0; i < UNITS; ++i) inputs[i] = FOUR(max(units[i][0], 0.0), max(units[i][1], 0.0));
}

// --- what the network sees ---------------------------------------------------------------------------------------------

// sin(pi x) for |x| <= 1 by its series: a GPU's own sine may be off by 2^-11, which the doubling of angles would multiply.
vec3 sine_of_pi(vec3 x) {
  vec3 t = 3.14159265358979 * min(abs(x), 1.0 - abs(x));
  vec3 s = t * t;
  return sign(x) * t * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0 - s / 39916800.0)))));
}

// inputs[first] = (x, 1), and for each octave k two more: (sin(2^k pi x), 0), (cos(2^k pi x), 0). Returns what follows `first`.
int put_frequencies(int first, THREE x, int octaves) {
  inputs[first++] = FOUR(vec4(x[0], 1.0), vec4(x[1], 1.0));
  THREE sine = THREE(sine_of_pi(x[0]), sine_of_pi(x[1]));
  THREE cosine = THREE(sine_of_pi(0.5 - abs(x[0])), sine_of_pi(0.5 - abs(x[1])));
  for (int k = 0; k < octaves; ++k) {
    inputs[first++] = FOUR(vec4(sine[0], 0.0), vec4(sine[1], 0.0));
    inputs[first++] = FOUR(vec4(cosine[0], 0.0), vec4(cosine[1], 0.0));
    THREE twice = 2.0 * matrixCompMult(sine, cosine);
    cosine = THREE(1.0 - 2.0 * sine[0] * sine[0], 1.0 - 2.0 * sine[1] * sine[1]);
    sine = twice;
  }
  return first;
}

// Where a coordinate in [-1, 1] lies between the centers of `size` texels; beyond the outermost centers the value stays.
float place(float x, int size) {
  return clamp(0.5 * ((x + 1.0) * float(size) - 1.0), 0.0, float(size - 1));
}

// Bilinear in a picture of size x size texels at `start`, `at` in texels from the first one's center
vec4 bilinear(int start, int size, vec2 at) {
  ivec2 low = ivec2(at), high = min(low + 1, size - 1);
  vec2 share = at - vec2(low);
  int upper = start + low.y * size, lower = start + high.y * size;
  return mix(mix(texel(upper + low.x), texel(upper + high.x), share.x), mix(texel(lower + low.x), texel(lower + high.x), share.x),
             share.y);
}

#if PLANE_SIZE > 0
// Four channels of one plane
vec4 plane_features(int plane, int group, vec3 position) {
  vec2 x = plane == 0 ? position.xy : plane == 1 ? position.xz : position.yz;
  int start = AT_PLANES + (plane * PLANE_GROUPS + group) * PLANE_SIZE * PLANE_SIZE;
  return bilinear(start, PLANE_SIZE, vec2(place(x.x, PLANE_SIZE), place(x.y, PLANE_SIZE)));
}
#endif

#if VOLUME_SIZE > 0
// Four channels of the volume
vec4 volume_features(int group, vec3 x) {
  const int slice = VOLUME_SIZE * VOLUME_SIZE;
  vec2 at = vec2(place(x.x, VOLUME_SIZE), place(x.y, VOLUME_SIZE));
  float z = place(x.z, VOLUME_SIZE);
  int low = int(z), high = min(low + 1, VOLUME_SIZE - 1), start = AT_VOLUME + group * slice * VOLUME_SIZE;
  return mix(bilinear(start + low * slice, VOLUME_SIZE, at), bilinear(start + high * slice, VOLUME_SIZE, at), z - float(low));
}
#endif

// --- the field ---------------------------------------------------------------------------------------------------------

float softplus(float x) {
  return max(x, 0.0) + log(1.0 + exp(-abs(x)));
}

vec4 activated(vec4 x) {
  return vec4(DENSITY_SCALE * softplus(x.x - DENSITY_SHIFT), 1.0 / (1.0 + exp(-x.yzw)));
}

// (density, red, green, blue) at points of the unit sphere, seen along `direction`
FOUR radiance_field(THREE positions, vec3 direction) {
  int count = put_frequencies(0, positions, POSITION_OCTAVES);
#if PLANE_SIZE > 0
  for (int plane = 0; plane < 3; ++plane)
    for (int group = 0; group < PLANE_GROUPS; ++group, ++count)
      inputs[count] = FOUR(plane_features(plane, group, positions[0]), plane_features(plane, group, positions[1]));
#endif
  FOUR coarse = FOUR(0.0);  // a short way from the volume to the outputs
#if VOLUME_SIZE > 0
  for (int group = 0; group < VOLUME_GROUPS; ++group, ++count)
    inputs[count] = FOUR(volume_features(group, positions[0]), volume_features(group, positions[1]));
  coarse = inputs[count - VOLUME_GROUPS];
#endif
  layer(AT_LAYER_0, count);
  for (int i = 0; i < DEPTH - 1; ++i) layer(AT_LAYER_1 + i * WIDTH * UNITS, UNITS);
  FOUR result = product(AT_LAYER_LAST, UNITS);
#if DIRECTION_OCTAVES > 0
  count = put_frequencies(UNITS, THREE(direction, direction), DIRECTION_OCTAVES);
  layer(AT_COLOR_0, count);
  FOUR color = product(AT_COLOR_1, UNITS);
  result = FOUR(vec4(result[0].x, color[0].xyz), vec4(result[1].x, color[1].xyz));
#endif
  result += coarse;
  return FOUR(activated(result[0]), activated(result[1]));
}

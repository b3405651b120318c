// What a pixel sees: volume rendering along its ray, as hypernerf/rendering/samplers.py and renderer.py do it.

uniform sampler2D occupancy;
uniform mat3 rotation;  // camera axes (x right, y down, z forward) to the scene's
uniform vec3 origin;  // of the camera; the scene is in the unit sphere
uniform vec4 intrinsics;  // fx, fy, cx, cy in pixels
uniform float height;  // of the picture, in pixels
uniform int samples;  // points a ray
uniform vec3 background;

#define OPAQUE (1.0 / 1024.0)  // what is behind so little light changes no pixel by half a step of 255

out vec4 result;

bool occupied(vec3 position) {
  ivec3 cell = clamp(ivec3((position + 1.0) * (0.5 * float(GRID))), 0, GRID - 1);
  int index = (cell.z * GRID + cell.y) * GRID + cell.x;
  return texelFetch(occupancy, ivec2((index >> 2) % GRID_ROW, (index >> 2) / GRID_ROW), 0)[index & 3] > 0.5;
}

// (color, opacity), front to back: C = sum_i T_i (1 - exp(-s_i l)) c_i, T_i = exp(-sum_{j<i} s_j l).
// The chord through the sphere is cut into BINS; those that are not empty, laid end to end, are cut into `samples` equal
// lengths l with a point in the middle of each.
vec4 march(vec3 direction) {
  float along = dot(origin, direction);
  vec3 closest = origin - along * direction;
  float half_chord = sqrt(max(1.0 - dot(closest, closest), 0.0));
  float near = max(-along - half_chord, 0.0);
  float bin_length = (max(-along + half_chord, near) - near) / float(BINS);
  if (bin_length <= 0.0) return vec4(0.0);

  uvec2 full = uvec2(0u);  // one bit a bin
  int total = 0;
  for (int bin = 0; bin < BINS; ++bin)
    if (occupied(origin + (near + bin_length * (float(bin) + 0.5)) * direction)) {
      full[bin >> 5] |= 1u << (bin & 31);
      ++total;
    }

  float length_each = float(total) * bin_length / float(samples);
  float left = 1.0;  // T_i
  vec3 color = vec3(0.0);
  int bin = 0;
  float passed = 0.0;  // occupied bins before `bin`
  for (int i = 0; i < samples && total > 0 && left > OPAQUE; i += 2) {
    vec3 points[2];
    for (int p = 0; p < 2; ++p) {
      float wanted = (float(i + p) + 0.5) / float(samples) * float(total);
      for (; bin < BINS - 1; ++bin) {
        float here = float(full[bin >> 5] >> (bin & 31) & 1u);
        if (passed + here > wanted) break;
        passed += here;
      }
      points[p] = origin + (near + bin_length * (float(bin) + wanted - passed)) * direction;
    }
    FOUR seen = radiance_field(THREE(points[0], points[1]), direction);
    for (int p = 0; p < 2 && i + p < samples; ++p) {
      float kept = exp(-seen[p].x * length_each);
      color += left * (1.0 - kept) * seen[p].yzw;
      left *= kept;
    }
  }
  return vec4(color, 1.0 - left);
}

void main() {
  vec2 pixel = vec2(gl_FragCoord.x, height - gl_FragCoord.y);  // from the upper left corner, centers at + 0.5
  vec4 seen = march(normalize(rotation * vec3((pixel - intrinsics.zw) / intrinsics.xy, 1.0)));
  result = vec4(seen.rgb + (1.0 - seen.a) * background, 1.0);
}

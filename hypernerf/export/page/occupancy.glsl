// Which cells of a grid over [-1, 1]^3 may hold something: computed once a scene, as hypernerf/rendering/occupancy.py does it.
// Cell (x, y, z) of GRID^3 has the number (z GRID + y) GRID + x; four cells that follow each other are the channels of a pixel.

out vec4 result;

int first_cell() {
  return 4 * (int(gl_FragCoord.y) * GRID_ROW + int(gl_FragCoord.x));
}

ivec3 cell(int index) {
  return ivec3(index % GRID, index / GRID % GRID, index / (GRID * GRID));
}

#ifdef LOOK
vec3 center(int index) {
  return (vec3(cell(index)) + 0.5) * (2.0 / float(GRID)) - 1.0;
}

// First pass: is the density at the cells' centers that of something?
void main() {
  vec2 full[2];
  for (int pair = 0; pair < 2; ++pair) {
    vec3 a = center(first_cell() + 2 * pair), b = center(first_cell() + 2 * pair + 1);
    vec2 inside = vec2(dot(a, a) <= 1.0, dot(b, b) <= 1.0);
    full[pair] = vec2(0.0);
    if (inside == vec2(0.0)) continue;
    FOUR seen = radiance_field(THREE(a, b), vec3(0.0));
    full[pair] = inside * vec2(seen[0].x > EMPTY_DENSITY, seen[1].x > EMPTY_DENSITY);
  }
  result = vec4(full[0], full[1]);
}
#endif

#ifdef DILATE
// Second pass: a cell is judged by one point, so its 26 neighbors are taken along.
precision highp sampler2D;
uniform sampler2D cells;

void main() {
  vec4 full = vec4(0.0);
  for (int p = 0; p < 4; ++p) {
    ivec3 center = cell(first_cell() + p), low = max(center - 1, 0), high = min(center + 1, GRID - 1);
    for (int z = low.z; z <= high.z; ++z)
      for (int y = low.y; y <= high.y; ++y)
        for (int x = low.x; x <= high.x; ++x) {
          int index = (z * GRID + y) * GRID + x;
          full[p] = max(full[p], texelFetch(cells, ivec2((index >> 2) % GRID_ROW, (index >> 2) / GRID_ROW), 0)[index & 3]);
        }
  }
  result = full;
}
#endif

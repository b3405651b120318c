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
// First pass: is the density at the cells' centers that of something?
void main() {
  vec4 full = vec4(0.0);
  for (int first = 0; first < 4; first += POINTS) {
    THREE centers;
    bool inside = false;
    for (int p = 0; p < POINTS; ++p) {
      centers[p] = (vec3(cell(first_cell() + first + p)) + 0.5) * (2.0 / float(GRID)) - 1.0;
      inside = inside || dot(centers[p], centers[p]) <= 1.0;
    }
    if (!inside) continue;
    FOUR seen = radiance_field(centers, vec3(0.0));
    for (int p = 0; p < POINTS; ++p)
      full[first + p] = float(dot(centers[p], centers[p]) <= 1.0 && seen[p].x > EMPTY_DENSITY);
  }
  result = full;
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

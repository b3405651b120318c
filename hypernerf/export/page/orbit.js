
// The camera that people turn: it circles the scene's center at the distance the scene was seen from.

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const normalized = (a) => a.map((x) => x / Math.sqrt(dot(a, a)));

class Orbit {
  constructor() {
    this.reset();
  }

  reset() {
    Object.assign(this, { azimuth: 0.7, elevation: 0.4, nearness: 1 });
  }

  // Angles in radians
  turn(azimuth, elevation) {
    this.azimuth = (this.azimuth + azimuth) % (2 * Math.PI);
    this.elevation = clamp(this.elevation + elevation, -1.55, 1.55); // at the poles "up" would be lost
  }

  zoom(factor) {
    this.nearness = clamp(this.nearness * factor, 0.3, 4);
  }

  // As Renderer.draw takes it; the field of view is the angle across the shorter side.
  camera(scene, width, height) {
    const up = normalized(scene.up);
    const first = normalized(cross(up, [up[2], up[0], up[1]])), second = cross(up, first);
    const { azimuth, elevation, nearness } = this;
    const outwards = up.map((x, i) =>
      Math.cos(elevation) * (Math.cos(azimuth) * first[i] + Math.sin(azimuth) * second[i]) + Math.sin(elevation) * x);
    const forward = outwards.map((x) => -x), right = normalized(cross(forward, up)), down = cross(forward, right);
    const focal = (0.5 * Math.min(width, height)) / Math.tan(scene.fieldOfView / 2);
    return {
      rotation: [0, 1, 2].flatMap((i) => [right[i], down[i], forward[i]]),
      origin: outwards.map((x) => (x * scene.distance) / nearness),
      intrinsics: [focal, focal, width / 2, height / 2],
      width,
      height,
    };
  }
}

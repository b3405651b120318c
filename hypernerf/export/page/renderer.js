
// Draws radiance fields with WebGL2. A renderer holds one field at a time: `load` brings its weights to the GPU and finds out
// where it is not empty; `draw` draws a strip of a picture of it. Pictures are drawn off screen and shown by `show`.

const VERTEX = `#version 300 es
void main() {  // one triangle that covers the picture
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

class Renderer {
  constructor(canvas, shaders) {
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" });
    if (!this.gl) throw new Error("This page needs WebGL2, which this browser does not offer.");
    this.shaders = shaders;
    this.programs = new Map(); // one set for each architecture
    this.weights = this.#texture();
    this.cells = this.#target();
    this.occupancy = this.#target();
    this.picture = this.#target();
    this.draws = 0; // in all, for who wants to know whether the page is idle
  }

  // field: { constants: numbers as the shaders' source states them, weights: Float32Array }
  load(field) {
    const { gl } = this, [row, grid, columns] = ["ROW", "GRID", "GRID_ROW"].map((name) => Number(field.constants[name]));
    this.program = this.#programs(field.constants);
    const rows = Math.ceil(field.weights.length / 4 / row);
    const texels = new Float32Array(4 * row * rows);
    texels.set(field.weights);
    gl.bindTexture(gl.TEXTURE_2D, this.weights);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA16F, row, rows, 0, gl.RGBA, gl.FLOAT, texels);
    for (const [target, program, source] of [
      [this.cells, this.program.look, { weights: this.weights }],
      [this.occupancy, this.program.dilate, { cells: this.cells.texture }],
    ]) {
      this.#resize(target, columns, grid ** 3 / 4 / columns);
      this.#use(program, source);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
  }

  // camera: { rotation: camera axes to the scene's, row by row; origin; intrinsics: [fx, fy, cx, cy]; width; height }.
  // Draws rows [first, last) from the bottom; the picture's old contents stay elsewhere if its size is the same.
  draw(camera, samples, background, first = 0, last = camera.height) {
    const { gl } = this, { program, uniform } = this.program.march;
    this.#resize(this.picture, camera.width, camera.height);
    this.#use(this.program.march, { weights: this.weights, occupancy: this.occupancy.texture });
    gl.uniformMatrix3fv(uniform("rotation"), true, camera.rotation);
    gl.uniform3fv(uniform("origin"), camera.origin);
    gl.uniform4fv(uniform("intrinsics"), camera.intrinsics);
    gl.uniform1f(uniform("height"), camera.height);
    gl.uniform1i(uniform("samples"), samples);
    gl.uniform3fv(uniform("background"), background);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(0, first, camera.width, last - first);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
    this.draws += 1;
  }

  // Stretches the picture over the canvas.
  show() {
    const { gl } = this, { width, height } = this.picture;
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, this.picture.framebuffer);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.blitFramebuffer(0, 0, width, height, 0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.COLOR_BUFFER_BIT, gl.LINEAR);
  }

  // The picture's bytes, RGB from the upper left corner on
  read() {
    const { gl } = this, { width, height } = this.picture;
    const bytes = new Uint8Array(4 * width * height), result = new Uint8Array(3 * width * height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.picture.framebuffer);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    for (let i = 0; i < width * height; ++i) {
      const from = 4 * ((height - 1 - Math.floor(i / width)) * width + (i % width));
      result.set(bytes.subarray(from, from + 3), 3 * i);
    }
    return result;
  }

  #texture() {
    const { gl } = this, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    return texture;
  }

  #target() {
    const { gl } = this;
    return { texture: this.#texture(), framebuffer: gl.createFramebuffer(), width: 0, height: 0 };
  }

  // Makes `target` what is drawn on, at this size
  #resize(target, width, height) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.framebuffer);
    gl.viewport(0, 0, width, height);
    if (target.width === width && target.height === height) return;
    gl.bindTexture(gl.TEXTURE_2D, target.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target.texture, 0);
    Object.assign(target, { width, height });
  }

  #use({ program, uniform }, textures) {
    const { gl } = this;
    gl.useProgram(program);
    Object.entries(textures).forEach(([name, texture], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(uniform(name), unit);
    });
  }

  #programs(constants) {
    const key = JSON.stringify(constants);
    if (!this.programs.has(key)) {
      const { field, march, occupancy } = this.shaders;
      this.programs.set(key, {
        look: this.#compile(constants, "#define LOOK\n" + field + occupancy),
        dilate: this.#compile(constants, "#define DILATE\nprecision highp float;\nprecision highp int;\n" + occupancy),
        march: this.#compile(constants, field + march),
      });
    }
    return this.programs.get(key);
  }

  #compile(constants, source) {
    const { gl } = this, program = gl.createProgram();
    const defines = Object.entries(constants).map(([name, value]) => `#define ${name} ${value}\n`).join("");
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, "#version 300 es\n" + defines + source]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      const logs = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
      throw new Error([gl.getProgramInfoLog(program), ...logs].join("\n"));
    }
    const places = new Map();
    const uniform = (name) => {
      if (!places.has(name)) places.set(name, gl.getUniformLocation(program, name));
      return places.get(name);
    };
    return { program, uniform };
  }
}

// Half floats in base64 to numbers
function decode(text) {
  const halves = new Uint16Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  return Float32Array.from(halves, (bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  });
}

/**
 * Classic test functions of continuous optimisation. Each is 0 at z = 0 and positive elsewhere; `createProblem`
 * moves that optimum to a hidden place and turns the axes, so that neither the centre of the box nor a search along
 * its axes finds it.
 */
const FUNCTIONS = {
  sphere: { bound: 5, at: (z) => sum(z, (value) => value ** 2) },
  ellipsoid: {
    bound: 5,
    at: (z) => sum(z, (value, i) => 10 ** (z.length > 1 ? (6 * i) / (z.length - 1) : 0) * value ** 2),
  },
  rosenbrock: {
    bound: 5,
    at: (z) =>
      // The usual form has its optimum at 1, hence the ones.
      sum(z.slice(1), (next, i) => 100 * ((z[i] + 1) ** 2 - (next + 1)) ** 2 + z[i] ** 2),
  },
  rastrigin: {
    bound: 5.12,
    at: (z) => sum(z, (value) => value ** 2 + 10 * (1 - Math.cos(2 * Math.PI * value))),
  },
  ackley: {
    bound: 32.768,
    at(z) {
      const radius = Math.sqrt(sum(z, (value) => value ** 2) / z.length)
      const waves = sum(z, (value) => Math.cos(2 * Math.PI * value)) / z.length
      // Rounding leaves about -4e-16 at the optimum itself.
      return Math.max(0, 20 * (1 - Math.exp(-0.2 * radius)) + Math.E - Math.exp(waves))
    },
  },
  griewank: {
    bound: 600,
    at: (z) =>
      1 +
      sum(z, (value) => value ** 2) / 4000 -
      z.reduce((p, value, i) => p * Math.cos(value / Math.sqrt(i + 1)), 1),
  },
}

export const FUNCTION_NAMES = Object.keys(FUNCTIONS)

/**
 * One problem to minimise in [-bound, bound]^dimension, the same for the same arguments. `optimum` says where its
 * minimum (0) lies; left out, it is drawn from the inner 80 % of the box.
 */
export function createProblem({ name, dimension, seed, rotation = true, optimum }) {
  const { bound, at } = FUNCTIONS[name]
  const random = createRandom(seed)
  const drawn = Array.from({ length: dimension }, () => 0.8 * bound * (2 * random() - 1))
  const center = optimum ?? drawn
  const axes = rotation ? randomRotation(dimension, random) : undefined
  return {
    bound,
    evaluate(x) {
      const moved = x.map((value, i) => value - center[i])
      return at(axes === undefined ? moved : axes.map((axis) => dot(axis, moved)))
    },
  }
}

/** Uniform numbers in [0, 1) by a 32-bit counter through a mixing function: small, and the same everywhere. */
function createRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
}

/** Orthonormal rows: random normal vectors, each freed of its part along the ones before it. */
function randomRotation(dimension, random) {
  const axes = []
  while (axes.length < dimension) {
    let axis = Array.from({ length: dimension }, () => normal(random))
    for (const earlier of axes) {
      const along = dot(axis, earlier)
      axis = axis.map((value, i) => value - along * earlier[i])
    }
    const length = Math.sqrt(dot(axis, axis))
    if (length > 1e-6) axes.push(axis.map((value) => value / length))
  }
  return axes
}

function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

function dot(a, b) {
  return sum(a, (value, i) => value * b[i])
}

function sum(values, term) {
  return values.reduce((total, value, i) => total + term(value, i), 0)
}

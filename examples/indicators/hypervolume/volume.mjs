/**
 * The exact volume between `reference` and the points that are smaller than it in every coordinate: the union of the
 * boxes that each point spans with it.
 */
export function hypervolume(points, reference) {
  return volume(
    points.filter((point) => point.every((value, i) => value < reference[i])),
    reference,
  )
}

/**
 * Cuts the space into slabs along the last coordinate. A slab between two neighbouring points is its thickness times
 * the volume, one dimension lower, of all points below it.
 */
function volume(points, reference) {
  const last = reference.length - 1
  const ascending = points.toSorted((a, b) => a[last] - b[last])
  if (last === 0) return ascending.length === 0 ? 0 : reference[0] - ascending[0][0]
  if (last === 1) return area(ascending, reference)
  let total = 0
  let front = []
  let base = 0
  for (const [i, point] of ascending.entries()) {
    const grown = withPoint(front, point.slice(0, last))
    if (grown !== front) base = volume(grown, reference.slice(0, last))
    front = grown
    const end = ascending[i + 1]?.[last] ?? reference[last]
    total += base * (end - point[last])
  }
  return total
}

/** Two coordinates, points by ascending second one: only those further left than all before add a rectangle. */
function area(ascending, [right, top]) {
  let total = 0
  let edge = right
  for (const [x, y] of ascending) {
    if (x >= edge) continue
    total += (edge - x) * (top - y)
    edge = x
  }
  return total
}

/** The points that no other one dominates, `point` included; the same list when it is dominated itself. */
function withPoint(front, point) {
  if (front.some((other) => dominates(other, point))) return front
  return [...front.filter((other) => !dominates(point, other)), point]
}

function dominates(a, b) {
  return a.every((value, i) => value <= b[i])
}

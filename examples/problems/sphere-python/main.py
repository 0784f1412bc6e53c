"""A problem image in Python: the shifted sphere function, to be minimised in [-5, 5]^DIMENSION.

Reads one solution (a JSON list of numbers) from standard input and prints its evaluation as the last line of
standard output. Logs go to standard error.
"""

import json
import logging
import math
import os
import random
import sys

BOUND = 5.0

log = logging.getLogger("sphere")


def optimum(dimension, seed):
    """Where the minimum lies: hidden, away from the centre and from the edge, the same for the same seed."""
    generator = random.Random(seed)
    return [generator.choice((-1, 1)) * generator.uniform(1.0, 4.0) for _ in range(dimension)]


def read_solution(text, dimension):
    try:
        solution = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("The solution is not valid JSON") from error
    if not isinstance(solution, list) or len(solution) != dimension:
        raise ValueError(f"The solution must be a list of {dimension} numbers")
    for position, value in enumerate(solution, start=1):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"Number {position} of the solution is not a number")
        # NaN fails this comparison, too.
        if not -BOUND <= value <= BOUND:
            raise ValueError(f"Number {position} of the solution is outside [{-BOUND}, {BOUND}]")
    return solution


def main():
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        dimension = int(os.environ.get("DIMENSION", "10"))
        solution = read_solution(sys.stdin.read(), dimension)
        log.info("evaluating a solution of %d numbers", dimension)
        center = optimum(dimension, os.environ.get("SEED", "1"))
        objective = math.fsum((value - place) ** 2 for value, place in zip(solution, center))
        result = {
            "objective": objective,
            "constraint": None,
            "error": None,
            "info": {"distance": math.sqrt(objective)},
            "feasible": True,
        }
    except ValueError as error:
        log.error("%s", error)
        result = {"objective": None, "constraint": None, "error": str(error)}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()

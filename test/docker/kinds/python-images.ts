/** Three images as competitions have them: Python, logs to stderr, one JSON object at the end of stdout. */

/** A constrained problem: logs, chatter on stdout, no newline at the end, an error without a text. */
export const CONSTRAINED_PROBLEM = `
import json, logging, os, sys

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
log = logging.getLogger("problem")

def main():
    variable = json.loads(input())
    log.info("variable: %s, version %s", variable, os.getenv("PROBLEM_VERSION"))
    if any(isinstance(x, int) for x in variable):
        raise TypeError("an integer slipped through")
    if len(variable) != int(os.environ["DIMENSION"]):
        raise ValueError()
    print("evaluating", len(variable), "variables")
    total = sum(x * x for x in variable)
    constraint = [x - 5 for x in variable]
    feasible = all(c <= 0 for c in constraint)
    print(json.dumps({
        "objective": total,
        "constraint": constraint,
        "feasible": feasible,
        "info": {"mean": total / len(variable), "note": "ログ", "ok": True},
    }), end="")

try:
    main()
except Exception as e:
    log.exception("failed")
    print(json.dumps({"objective": None, "error": str(e)}), end="")
`

/** A problem of two objectives which are NaN where they are not defined, and infinite or exact elsewhere. */
export const UNDEFINED_PROBLEM = `
import json, math, sys

x = json.loads(sys.stdin.readline())
sys.stdin.read()
print("DEBUG x =", x, file=sys.stderr)
f1 = math.log(x[0]) if x[0] > 0 else float("nan")
f2 = float("inf") if x[1] == 0 else 1 / x[1]
print(json.dumps({"objective": [f1, f2], "info": {"exact": 12345678901234567890, "tiny": -1.5e-300}}))
print()
print("   ")
`

/** An indicator: best so far, by the last entry of the history; refuses a history that is not in order. */
export const BEST_SO_FAR = `
import json, sys

trial = json.loads(input())
history = json.loads(input())
numbers = [int(h["trial_no"]) for h in history]
if numbers != sorted(numbers) or len(set(numbers)) != len(numbers):
    print(json.dumps({"score": None, "error": f"history out of order: {numbers}"}))
    sys.exit(1)
sys.stderr.write(f"{len(history)} earlier trials\\n")
best = history[-1]["score"] if history else float("inf")
value = trial["objective"]
if trial["feasible"] and value is not None and value < best:
    best = value
sys.stdout.write(json.dumps({"score": best}))
`

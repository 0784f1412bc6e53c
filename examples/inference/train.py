"""Learns corpus/*.py: python3 train.py [FILE], default model.json.gz beside this file."""

import pathlib
import sys

import model

HERE = pathlib.Path(__file__).resolve().parent


def functions():
    for path in sorted((HERE / "corpus").glob("*.py")):
        for part in path.read_text(encoding="utf-8").strip().split("\n\n\n"):
            yield part.strip() + "\n"


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else HERE / "model.json.gz"
    learned = model.train(list(functions()))
    learned.save(target)
    print(f"learned {len(learned.names)} functions: {len(learned.counts)} contexts", file=sys.stderr)


if __name__ == "__main__":
    main()

"""An n-gram model of code: counts of what came after the last 0 … ORDER tokens, and after those within a function of
that name, interpolated (Witten-Bell)."""

import gzip
import json
import random

from tokens import END, NAME, START, Slots, split

ORDER = 12
IN = "<in>"
SHARE_OF_LOWER = 0.4


def train(functions):
    """The counts of a list of functions' texts."""
    counts = {}
    names = set()
    for text in functions:
        slots, seen = Slots(), [START]
        for token in [*split(text), END]:
            if slots.state == "name":
                names.add(token.strip())
            target = slots.target(token)
            for context in contexts(seen):
                after = counts.setdefault(context, {})
                after[target] = after.get(target, 0) + 1
            seen.append(slots.see(token))
    return Model(counts, names)


def load(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        data = json.load(file)
    words = data["words"]
    counts = {tuple(words[i] for i in key): {words[i]: n for i, n in after} for key, after in data["counts"]}
    return Model(counts, set(data["names"]))


def contexts(seen):
    """What the next token is predicted from, the most telling last."""
    start = max((i for i, token in enumerate(seen) if token == "def"), default=-1)
    inside = len(seen) - start - 2 if start >= 0 else 0
    for length in range(min(ORDER, len(seen)) + 1):
        last = seen[len(seen) - length :]
        yield tuple(last)
        if 0 < length <= inside:
            yield (IN, seen[start + 1], *last)


class Model:
    def __init__(self, counts, names):
        self.counts = counts
        self.names = sorted(names)

    def save(self, path):
        words = sorted({word for key, after in self.counts.items() for word in (*key, *after)})
        ids = {word: i for i, word in enumerate(words)}
        counts = [
            [[ids[word] for word in key], [[ids[word], n] for word, n in after.items()]]
            for key, after in self.counts.items()
        ]
        data = json.dumps({"words": words, "names": self.names, "counts": counts}, separators=(",", ":"))
        # No time in it: the same corpus makes the same file.
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
            file.write(data.encode())

    def probabilities(self, seen):
        """Of the next token, after those."""
        result = {}
        for context in contexts(seen):
            after = self.counts.get(context)
            if after is None:
                continue
            total = sum(after.values())
            lower = SHARE_OF_LOWER * len(after) if context else 0
            scale = lower / (total + lower)
            result = {word: p * scale for word, p in result.items()}
            for word, n in after.items():
                result[word] = result.get(word, 0.0) + n / (total + lower)
        return result

    def known_name(self, name):
        """The function's name itself when it was learned, or else the one most like it."""
        if name in self.names:
            return name

        def likeness(other):
            mine, its = pairs(name), pairs(other)
            return 2 * len(mine & its) / (len(mine) + len(its))

        best = max(self.names, key=likeness, default=name)
        return best if likeness(best) > 0.45 else name

    def complete(self, prompt, *, max_tokens, temperature, top_p, stop, seed):
        """(text, finish_reason, tokens of the prompt, tokens of the completion)"""
        chance = random.Random(seed)
        tokens = split(prompt)
        prefix = self._unfinished(tokens)
        slots, seen = Slots(), [START]
        for token in tokens[: len(tokens) - 1] if prefix else tokens:
            seen.append(self._see(slots, token))
        text = ""
        for made in range(max_tokens):
            options = self._options(seen, slots, prefix)
            if not options:
                return text, "stop", len(tokens), made
            predicted = pick(options, temperature, top_p, chance)
            if predicted == END:
                return text, "stop", len(tokens), made
            word = slots.text(predicted)
            text += word[len(prefix) :]
            prefix = ""
            seen.append(self._see(slots, word))
            cut = min((at for at in (text.find(end) for end in stop) if at >= 0), default=-1)
            if cut >= 0:
                return text[:cut], "stop", len(tokens), made + 1
        return text, "length", len(tokens), max_tokens

    def _options(self, seen, slots, prefix):
        """What can be written next, with its probability."""
        return {
            word: p
            for word, p in self.probabilities(seen).items()
            if (text := slots.text(word)) is not None and (not prefix or text.startswith(prefix))
        }

    def _see(self, slots, token):
        is_name = slots.state == "name"
        seen = slots.see(token)
        if not is_name or slots.state != "header":
            return seen
        return " " + self.known_name(token.strip())

    def _unfinished(self, tokens):
        """The prompt's last token when it may be only the beginning of one: part of a word, or the space before it."""
        if tokens and tokens[-1].isspace():
            return tokens[-1]
        if not tokens or not NAME.fullmatch(tokens[-1]):
            return ""
        slots, last = Slots(), tokens[-1]
        for token in tokens[:-1]:
            slots.see(token)
        words = [text for word in self.counts.get((), {}) if word != END and (text := slots.text(word))]
        # A parameter and a slot's name are words, too.
        if last in words or last.strip() in slots.names:
            return ""
        return last if any(word.startswith(last) for word in words) else ""


def pairs(name):
    padded = f"^{name}$"
    return {padded[i : i + 2] for i in range(len(padded) - 1)}


def pick(options, temperature, top_p, chance):
    ranked = sorted(options.items(), key=lambda option: (-option[1], option[0]))
    if temperature == 0:
        return ranked[0][0]
    top = ranked[0][1]
    weights = [(word, (p / top) ** (1 / temperature)) for word, p in ranked]
    whole = sum(weight for _, weight in weights)
    kept, share = [], 0.0
    for word, weight in weights:
        kept.append((word, weight))
        share += weight / whole
        if share >= top_p:
            break
    return chance.choices([word for word, _ in kept], [weight for _, weight in kept])[0]

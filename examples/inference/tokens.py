"""Python text as tokens. The parameters of a function and its own name become slots, so that what is learned of one
function holds under other names."""

import re

TOKEN = re.compile(r'\n[ ]*| ?(?:[^\W\d]\w*|\d+|"[^"\n]*"|\*\*|//|[-+*/%<>=!]=|->|[^\s\w])|\s', re.UNICODE)
NAME = re.compile(r" ?[^\W\d]\w*")
END = "<end>"
START = "<start>"


def split(text):
    return TOKEN.findall(text)


class Slots:
    """Follows one text: turns each token into what the model sees of it, and back."""

    def __init__(self):
        self.names = {}
        self.state = ""
        self.depth = 0
        self.expects_parameter = False

    def see(self, token):
        """The token as context of those after it."""
        space, word = token[: len(token) - len(token.lstrip(" "))], token.lstrip(" ")
        if word == "def":
            self.names, self.state, self.depth = {}, "name", 0
            return token
        if self.state == "name" and NAME.fullmatch(token):
            self.names[word] = "$F"
            self.state = "header"
            return token
        if self.state == "header":
            self.depth += (word in "([{") - (word in ")]}") if word else 0
            if word == ")" and self.depth == 0:
                self.state = "body"
            is_parameter = self.expects_parameter and NAME.fullmatch(token)
            self.expects_parameter = self.depth == 1 and word in ("(", ",", "*", "**")
            if not is_parameter:
                return token
            self.names[word] = f"${len(self.names)}"
        return space + self.names.get(word, word)

    def target(self, token):
        """The token as what is to be predicted: in the header the name itself."""
        return token if self.state in ("name", "header") else self._body(token)

    def _body(self, token):
        word = token.lstrip(" ")
        return token[: len(token) - len(word)] + self.names.get(word, word)

    def text(self, predicted):
        """What is written for a prediction; None for a parameter that this function does not have."""
        word = predicted.lstrip(" ")
        if not word.startswith("$") or len(word) == 1:
            return predicted
        for name, slot in self.names.items():
            if slot == word:
                return predicted[: len(predicted) - len(word)] + name
        return None

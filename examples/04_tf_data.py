"""TFRecords of text in, TFRecords of scores out: tf.data over a SavedModel, file by file, each written whole.

    python examples/04_tf_data.py [FOLDER]

Half a minute on two cores. Expect "written: 4 files" and then "written: 0 files", as what is there is done,
and a higher log-probability for lines of the play than for their words backwards.
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

import keras
import tensorflow as tf

import kerasgpt
from kerasgpt.data.records import map_records, read_records, write_records
from kerasgpt.in_graph.tokenizer import InGraphTokenizer

TEXT = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text("utf-8")[:100_000]
LINES = [line.split() for line in TEXT.splitlines() if len(line) > 30][:400]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "play.txt").write_text(TEXT, "utf-8")
    tokenizer = kerasgpt.Tokenizer.learn([TEXT], vocabulary_size=512)
    lm = kerasgpt.GPT2CausalLM.from_preset("gpt-nano", vocabulary_size=512, max_sequence_length=64)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    lm.compile(keras.optimizers.AdamW(3e-3), loss)
    lm.fit(kerasgpt.dataset(folder / "play.txt", tokenizer, 64, 16), epochs=3, verbose=2)
    kerasgpt.export_bundle(lm, tokenizer, folder / "bundle", ("saved_model",))
    model = tf.saved_model.load(folder / "bundle" / "saved_model" / "1")
    encode = InGraphTokenizer.from_preset(folder / "bundle").encode

    def score(rows: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        ids = encode(rows["text"])
        lengths, targets = ids.row_lengths() - 1, ids[:, 1:].to_tensor()  # all but the first token
        logits = model.signatures["logits"](input_ids=ids[:, :-1].to_tensor(), lengths=lengths)["logits"]
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)  # (B, T)
        return {**rows, "logprob": -tf.reduce_sum(nats * tf.sequence_mask(lengths, dtype=tf.float32), axis=1)}

    for step, name in ((1, "forwards"), (-1, "backwards")):
        for part in range(2):
            rows = ({"text": " ".join(words[::step])} for words in LINES[part::2])
            write_records(folder / "texts" / f"{name}-{part}-of-2.tfrecord", rows)
    for _ in range(2):
        written = map_records(sorted((folder / "texts").iterdir()), folder / "scores", score)
        print(f"written: {len(written)} files")
    for name in ("forwards", "backwards"):
        files = sorted((folder / "scores").glob(f"{name}*"))
        (scores,) = read_records(files, {"logprob": tf.float32}, len(LINES))
        print(f"{name}: {tf.reduce_mean(scores['logprob']):.1f} nats a line")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))

from pathlib import Path

import numpy as np
import pytest

from mirada.data import images, records

pytestmark = pytest.mark.slow


def test_tf_data_reads_our_shards_as_they_are(tmp_path: Path) -> None:
    import tensorflow as tf

    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    written = [
        records.Example(
            image_id=f"{number}.png",
            image=images.encode(pixels, "png"),
            boxes_xyxy=np.arange(4 * number, dtype=np.float32).reshape(-1, 4),
            labels=np.arange(number, dtype=np.int64),
            ignore=np.arange(number) > 0,
            source="s.png",
            placement=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        )
        for number in range(3)
    ]
    path = tmp_path / "train-00000-of-00001.tfrecord"
    path.write_bytes(b"".join(records.frame(records.serialize(example)) for example in written))
    features = {key: tf.io.FixedLenFeature([], tf.string) for key in ("image_id", "image", "source")}
    features["placement"] = tf.io.FixedLenFeature([6], tf.float32)
    features["boxes_xyxy"] = tf.io.VarLenFeature(tf.float32)
    features |= {key: tf.io.VarLenFeature(tf.int64) for key in ("labels", "ignore")}
    found = [tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(str(path))]
    assert len(found) == 3
    for example, read in zip(written, found, strict=True):
        assert read["image_id"].numpy().decode() == example.image_id
        assert (tf.io.decode_image(read["image"]).numpy() == pixels).all()
        assert read["boxes_xyxy"].values.numpy().tolist() == example.boxes_xyxy.ravel().tolist()
        assert read["labels"].values.numpy().tolist() == example.labels.tolist()
        assert read["ignore"].values.numpy().tolist() == example.ignore.tolist()
        assert read["placement"].numpy().tolist() == list(example.placement)

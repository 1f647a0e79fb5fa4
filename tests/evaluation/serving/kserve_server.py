"""An export behind the real server of KServe: kserve_server EXPORT PORT."""

import base64
import sys

import kserve
import tensorflow as tf


class Encoder(kserve.Model):
    """What a user of KServe writes."""

    def __init__(self, folder: str):
        super().__init__("encoder")
        self._serve = tf.saved_model.load(folder).signatures["serve_bytes"]
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        """Rows of {"b64": …} to rows of embedding and valid."""
        images = [base64.b64decode(row["b64"]) for row in payload["instances"]]
        outputs = self._serve(image_bytes=tf.constant(images))
        rows = zip(outputs["embedding"].numpy().tolist(), outputs["valid"].numpy().tolist())
        return {"predictions": [{"embedding": row, "valid": valid} for row, valid in rows]}


if __name__ == "__main__":
    server = kserve.ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1)
    server.start([Encoder(sys.argv[1])])

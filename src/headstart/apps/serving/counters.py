"""The counters of a server, in Prometheus' format."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from headstart.artifact.predictor import Prediction

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Counters:
    """The counters of one server."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("headstart_requests", "Requests answered", ["endpoint", "status"], registry=registry)
        self._seconds = Histogram(
            "headstart_request_seconds",
            "Seconds from a request's start to its end",
            ["endpoint"],
            buckets=SECONDS,
            registry=registry,
        )
        self._images = Counter("headstart_images", "Images answered", ["model", "outcome"], registry=registry)
        self._predicted = Counter(
            "headstart_predicted", "Images by the most probable class", ["model", "class"], registry=registry
        )
        self._unfamiliar = Counter("headstart_unfamiliar", "Images unlike the training images", ["model"], registry=registry)
        self._batches = Histogram("headstart_batch_images", "Images answered together", buckets=BATCHES, registry=registry)
        self._reloads = Counter("headstart_reloads", "Models read again", ["model", "outcome"], registry=registry)
        self._digests = Gauge("headstart_model_info", "1 for the model that answers", ["model", "digest"], registry=registry)

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Shows what `read` returns whenever the metrics are requested."""
        Gauge(name, description, registry=self._registry).set_function(read)

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Counts a request that was answered."""
        self._requests.labels(endpoint, status).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def prediction(self, model: str, prediction: Prediction) -> None:
        """Counts an image."""
        outcome = "unreadable" if prediction.probabilities is None else "unsure" if prediction.unsure else "answered"
        self._images.labels(model, outcome).inc()
        if prediction.probabilities is not None:
            best = prediction.best if prediction.value is None else prediction.classes[0]
            for name in (best,) if prediction.labels is None else prediction.labels:
                self._predicted.labels(model, name).inc()
        if prediction.unfamiliar:
            self._unfamiliar.labels(model).inc()

    def batch(self, n_images: int) -> None:
        """Counts a batch; any thread may call it."""
        self._batches.observe(n_images)

    def reload(self, model: str, outcome: str) -> None:
        """Counts that a model was read again: "changed", "unchanged" or "refused"."""
        self._reloads.labels(model, outcome).inc()

    def serving(self, model: str, digest: str) -> None:
        """Notes which model answers under a name."""
        self._digests.labels(model, digest).set(1)

    def retired(self, model: str, digest: str) -> None:
        """Notes that a model no longer answers."""
        self._digests.remove(model, digest)

    def as_text(self) -> bytes:
        """All counters, as Prometheus reads them."""
        return bytes(generate_latest(self._registry))

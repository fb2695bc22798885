"""The metrics that there are only where an image has any number of labels."""

from headstart.schema import Count, Interval, Name, NotNegative, Schema, Share, ShareInterval


class LabelMetrics(Schema):
    """How well the images with a label are ranked before those without."""

    name: Name
    n_known: Count  # images of which it is known whether they have it
    average_precision: Share | None  # None: all of them have it, or none
    average_precision_ci95: ShareInterval | None = None  # None: too few images or groups


class LabelSetMetrics(Schema):
    """Metrics over all labels."""

    mean_average_precision: Share | None  # the mean over the labels that can be judged; None: none can
    mean_average_precision_ci95: ShareInterval | None = None  # None: too few images or groups
    micro_f1: Share  # over all images and labels together
    wrong_share: Share  # share of an image's labels that are said wrongly, or not said (Hamming loss)
    wrong_share_ci95: Interval | None = None
    labels_per_image: NotNegative
    labels_per_answer: NotNegative
    per_label: tuple[LabelMetrics, ...]
    together: tuple[tuple[Count, ...], ...]  # n_labels rows of n_labels: images that have both; one label's own on the diagonal

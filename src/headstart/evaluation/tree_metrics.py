"""How far answers are from the truth where classes are the leaves of a tree."""

import numpy as np

from headstart.evaluation.intervals import mean_interval, share_interval
from headstart.schema import Count, Interval, NotNegative, Positive, Schema, Share, ShareInterval
from headstart.tasks.class_tree import ClassTree


class LevelMetrics(Schema):
    """How many answers are right if only so many levels are looked at."""

    depth: Positive  # 1: below the root
    n_nodes: Count  # that the classes are told apart by at this depth
    accuracy: Share
    accuracy_ci95: ShareInterval | None = None  # None: too few images or groups


class TreeMetrics(Schema):
    """Metrics of a tree. A distance is counted in steps along the tree: 2 between classes of the same parent."""

    levels: tuple[LevelMetrics, ...]  # from the root down; the last is that of the classes themselves
    mean_distance: NotNegative  # from the answer to the truth, over all images
    mean_distance_ci95: Interval | None = None
    mistake_distance: NotNegative | None  # over the wrong answers; None if there are none


def tree_metrics(
    tree: ClassTree, predicted: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, *, enough: bool
) -> TreeMetrics:
    """Metrics of (n,) predicted classes against (n,) labels; n is at least 1.

    Intervals take into account that images of one of the (n,) `groups` are related; without `enough` images there are none.
    """
    levels = []
    for depth in range(1, tree.n_levels + 1):
        node = tree.at_depth(depth)
        right = node[predicted] == node[labels]
        interval = share_interval(right, groups) if enough else None
        levels.append(
            LevelMetrics(depth=depth, n_nodes=len(set(node.tolist())), accuracy=float(right.mean()), accuracy_ci95=interval)
        )
    distance = tree.distances()[predicted, labels].astype(float)
    return TreeMetrics(
        levels=tuple(levels),
        mean_distance=float(distance.mean()),
        mean_distance_ci95=mean_interval(distance, groups) if enough else None,
        mistake_distance=float(distance[distance > 0].mean()) if distance.any() else None,
    )

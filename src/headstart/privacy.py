"""Nothing leaves the machine: libraries send no telemetry.

`import headstart` calls `switch_off_telemetry`, so it holds for every command, the estimator, the server and the processes that
they start, whether --offline is given or not.
"""

import os
import sys

# Environment variable -> the value that switches telemetry off. Libraries read them when they are loaded.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime: events to Microsoft, a device identifier below the user's folder
    "ORT_TELEMETRY_DISABLED": "1",  # its name in other versions
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub: what is loaded, and by which versions
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow: events of its client to Databricks, an identifier below the user's folder
    "WANDB_ERROR_REPORTING": "false",  # Weights & Biases: errors and counts of its own to its makers, besides what is recorded
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray: reports of what a cluster is used for
    "FASTAPI_OTEL_AUTO_CONFIGURE": "false",  # FastAPI: traces of requests, to wherever OTEL_* variables say
    "DO_NOT_TRACK": "1",  # the common switch (donottrack.sh), for what else is installed
}
# OpenVINO has no switch but a file in the user's folder. Without this package it uses a class that sends nothing.
TELEMETRY_PACKAGES = ("openvino_telemetry",)


def switch_off_telemetry() -> None:
    """Switches off the telemetry of all libraries that are loaded from now on in this process and its children.

    What the environment says otherwise is overruled.
    """
    os.environ.update(SWITCHES)
    for package in TELEMETRY_PACKAGES:
        if package not in sys.modules:
            sys.modules[package] = None  # type: ignore[assignment]  # Python's sign for a module that cannot be imported
    loaded = sys.modules.get("onnxruntime")
    if loaded is not None:  # too late for its switch
        loaded.disable_telemetry_events()

"""The program on a card: it answers with the exported file and without headstart. Its text is classify.txt."""

from dataclasses import dataclass
from pathlib import Path
from string import Template

from headstart.artifact.manifest import Manifest
from headstart.channels import AXES, channels_of
from headstart.data.preprocess import Preprocess
from headstart.settings import Cut, TaskName

# The lines of classify.txt that differ from model to model.
CUTS: dict[Cut, str] = {
    "whole": """def whole(image):
    return image.resize((SIZE, SIZE), FILTER)""",
    "crop": """def crop(image):
    shorter = min(image.size)
    width, height = (int(RESIZE * side / shorter) for side in image.size)
    if width * height > 1 << 24:
        raise ValueError("the image is too long and narrow for this program; headstart takes it")
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    return image.resize((width, height), FILTER).crop((left, top, left + SIZE, top + SIZE))""",
    "pad": """def pad(image):
    width, height = (max(1, round(side * SIZE / max(image.size))) for side in image.size)
    square = Image.new("RGB", (SIZE, SIZE), ${colour})
    square.paste(image.resize((width, height), FILTER), ((SIZE - width) // 2, (SIZE - height) // 2))
    return square""",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """How classify.txt runs an exported model."""

    package: str  # as it is installed
    module: str  # as it is imported
    extra: str  # of headstart, that installs it
    session: str  # makes `session` and `classes`
    answer: str  # the probabilities for `views`


RUNTIMES = {
    "onnx": Runtime(
        "onnxruntime",
        "onnxruntime",
        "runtime",
        """session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
classes = json.loads(session.get_modelmeta().custom_metadata_map["headstart.classes"])""",
        'session.run(["probabilities"], {"views": views})[0][0]',
    ),
    "openvino": Runtime(
        "openvino",
        "openvino",
        "openvino",
        """session = openvino.Core().compile_model("model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
with open("manifest.json", encoding="utf-8") as manifest:
    classes = json.load(manifest)["classes"]""",
        'session({"views": views})["probabilities"][0]',
    ),
    "litert": Runtime(
        "ai-edge-litert",
        "ai_edge_litert.interpreter",
        "litert",
        """session = ai_edge_litert.interpreter.Interpreter("model.tflite").get_signature_runner()
with open("manifest.json", encoding="utf-8") as manifest:
    classes = json.load(manifest)["classes"]""",
        'session(views=views)["probabilities"][0]',
    ),
}


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """What the program says of an image."""

    program: str  # prints what `probabilities` say of `path`; ${thresholds} are those of several labels
    words: str


def _best(number: str) -> str:
    """The lines that print one class, by its number."""
    return f"""    best = {number}
    print(f"{{path}}\\t{{classes[best]}}\\t{{probabilities[best]:.6f}}")"""


ANSWERS: dict[TaskName, AnswerLine] = {
    "single-label": AnswerLine(_best("int(probabilities.argmax())"), "the most probable class"),
    "nested": AnswerLine(_best("int(probabilities.argmax())"), "the most probable class"),
    "ordinal": AnswerLine(_best("int((probabilities.cumsum() < probabilities.sum() / 2).sum())"), "the median grade"),
    "multi-label": AnswerLine(
        """    thresholds = ${thresholds}
    said = [(name, p) for name, p, least in zip(classes, probabilities, thresholds) if p >= least]
    print(f"{path}\\t" + ("\\t".join(f"{name} {p:.6f}" for name, p in said) or "none of the labels"))""",
        "the labels whose thresholds are reached",
    ),
    "regression": AnswerLine("""    print(f"{path}\\t{probabilities[0]:.6g}")""", "the number"),
}


def classifying_program(manifest: Manifest) -> str:
    """The Python program that classifies images with the exported file and without headstart."""
    preprocess = manifest.preprocess
    runtime = RUNTIMES[manifest.export.format if manifest.export else "onnx"]
    program = _template("classify.txt").substitute(
        runtime=runtime.module,
        session=runtime.session,
        answer=runtime.answer.replace('"probabilities"', '"numbers"') if manifest.numbers else runtime.answer,
        told=ANSWERS[manifest.task].program.replace(
            "${thresholds}", str([float(one.threshold) for one in manifest.decisions.labels])
        ),
        **_views(preprocess),
        **_reading(preprocess),
        size_px=preprocess.size_px,
        resize_px=preprocess.resize_px,
        filter=preprocess.interpolation.upper(),
    )
    return program.rstrip()


def _views(preprocess: Preprocess) -> dict[str, str]:
    """The parts of classify.txt that cut the views."""
    colour = str(tuple(round(255 * level) for level in preprocess.mean))
    views = ", ".join(f"np.asarray({cut}(image))" for cut in preprocess.cuts)
    views = f"np.stack([{views}])"
    if preprocess.mirrored:
        views = f"np.stack([v for view in {views} for v in (view, view[:, ::-1])])"
    shape, batch = "(1, SIZE, SIZE, 3)", views
    if preprocess.n_views > 1:
        shape, batch = f"(1, {preprocess.n_views}, SIZE, SIZE, 3)", f"{views}[None]"
    functions = "\n\n\n".join(CUTS[cut].replace("${colour}", colour) for cut in preprocess.cuts)
    return {"cuts": functions, "views": batch, "shape": shape}


def _reading(preprocess: Preprocess) -> dict[str, str]:
    """The parts of classify.txt that read a file."""
    if not preprocess.channels:
        read = _template("read_photographs.txt").substitute(decode_px=preprocess.decode_px, decoding=preprocess.decoding)
        pictures = "from PIL import Image, ImageCms, ImageOps"
        return {"standard": "import io\nimport json", "pictures": pictures, "read": read.rstrip()}
    chosen = channels_of(preprocess.channels)
    picks = {axis: pick for axis in AXES if isinstance(pick := getattr(chosen, axis), int | str)}
    page = picks.pop("page") if isinstance(chosen.page, int) else None
    listed = chosen.c if isinstance(chosen.c, tuple) else ()
    read = _template("read_stacks.txt").substitute(
        text=preprocess.channels, page=page, picks=picks, listed=listed, levels=chosen.levels
    )
    return {"standard": "import json", "pictures": "import tifffile\nfrom PIL import Image, ImageOps", "read": read.rstrip()}


def _template(name: str) -> Template:
    return Template(Path(__file__).with_name(name).read_text(encoding="utf-8"))

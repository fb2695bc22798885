# The source of tutorial.ipynb: `make docs` turns it into the notebook.

# %% [markdown]
# # Ants and bees, in seconds
#
# This notebook does what PyTorch's transfer-learning tutorial does: it takes a network pretrained on ImageNet and teaches
# it to tell ants from bees. If the photographs of ants and bees are not on this machine, it uses the solar cells of
# `elpv-dataset` (functional or defective) instead; the code is the same.

# %%
import tempfile
from pathlib import Path

from IPython.display import Image, display

from headstart import ImageClassifier, Predictor, TrainSettings, train
from headstart.data.catalog import find_hymenoptera, open_data

data = "hymenoptera" if find_hymenoptera() else "elpv"
folder = Path(tempfile.mkdtemp())
print(data)

# %% [markdown]
# ## Look at the images
#
# The first column shows the image itself, the second what the network sees when it predicts, the others what it sees
# during fine-tuning.

# %%
from headstart.artifact.preview import write_preview
from headstart.model.specs import default_preprocess
from headstart.recipes import CROP_SCALES

with open_data(data) as sources:
    print(len(sources.candidates), "files")
    write_preview(folder / "preview.png", sources, default_preprocess(), "standard", CROP_SCALES["default"], n_images=4)
display(Image(folder / "preview.png"))

# %% [markdown]
# ## The network as a fixed feature extractor
#
# The backbone stays as it is. It turns each image into a vector of 1,984 numbers, once, and a logistic regression learns
# the classes from these. The accuracy comes with its interval; nothing was selected on the images it was measured on.

# %%
probe = train(data, TrainSettings(strategy="probe"), output=folder / "probe")
print(probe.summary)
display(Image(folder / "probe" / "figures" / "samples.png"))

# %%
display(Image(folder / "probe" / "figures" / "mistakes.png"))

# %% [markdown]
# ## Fine-tuning
#
# Now the network itself is trained, starting from the fitted head: epoch 0 in the curves is the probe. The best epoch is
# chosen on the validation images, and the summary says so.

# %%
finetuned = train(data, TrainSettings(strategy="finetune", epochs=2), output=folder / "finetune")
print(finetuned.summary)
display(Image(folder / "finetune" / "figures" / "history.png"))

# %% [markdown]
# ## Predict
#
# To predict you need only the saved model, a folder called a bundle.

# %%
predictor = Predictor.load(finetuned.model)
with open_data(data) as sources:
    files = [candidate.path for candidate in sources.candidates[-3:]]
for prediction in predictor.predict(files):
    print(Path(prediction.path).name, prediction.predicted, f"{prediction.probability:.1%}")

# %% [markdown]
# ## With scikit-learn
#
# `ImageClassifier` takes lists of paths and labels, so it works with scikit-learn's tools.

# %%
from sklearn.model_selection import cross_val_score

with open_data(data) as sources:
    chosen = [c for c in sources.candidates if c.split != "val" and c.path.endswith((".jpg", ".png"))][::4]
paths, labels = [c.path for c in chosen], [c.label for c in chosen]
scores = cross_val_score(ImageClassifier(), paths, labels, cv=3)
print(scores.round(3))

"""Stage: the network, taught by the cards that an archive has checked (`collect.py`).

data/archive holds their boxes as the network sees them; models/adapted.keras the network that then
reads, byte by byte the finetuned one where there is no batch.
"""

from pathlib import Path

from vintraining.console import stage
from vintraining.data import dataset
from vintraining.hands import adaptation, batches, labelled
from vintraining.parameters import load

from vinreader.files import write_bytes, write_json

FINETUNED = Path("models/finetuned.keras")
ADAPTED = Path("models/adapted.keras")
SPLIT = Path("data/split")
METRICS = Path("metrics/adapt.json")


@stage
def main() -> None:
    parameters = load()
    archive = batches.gather(labelled.FOLDER)
    adaptation.save(archive)
    wanted = (adaptation.TRAIN, adaptation.FREE) if parameters.adapt.free else (adaptation.TRAIN,)
    own = [archive.parts[part].characters for part in wanted if part in archive.parts]
    if not own:
        print("no batch to learn from: the network stays as it was")
        write_bytes(ADAPTED, FINETUNED.read_bytes())
        write_json(METRICS, {"boxes": 0, "level": "nothing"})
        return
    from vintraining.hands import learning  # TensorFlow, which without a batch is not needed
    from vintraining.model import network

    network.be_reproducible(parameters.seed, parameters.train)
    model = network.load(FINETUNED)
    old = labelled.replay(parameters.finetune.labelled, dataset.load(SPLIT, "train"))
    told = learning.learn(model, dataset.joined(own), old, parameters)
    network.save(model, ADAPTED)
    kept = {
        part: len(archive.parts[part].characters)
        for part in (adaptation.VALIDATION, adaptation.TEST)
        if part in archive.parts
    }
    write_json(METRICS, told | {"kept_boxes": kept})
    print(f"learned from {told['boxes']:,} boxes: {told['level']}")


if __name__ == "__main__":
    main()

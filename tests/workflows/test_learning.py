from pathlib import Path

import numpy as np
from adkit_clips.dataset import Clips

from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit
from adkit.workflows.learning import ODD_CLIPS
from tests.videos import SIZE, write_video
from tests.watched import film_registry


def test_a_fit_tells_which_clips_look_otherwise_than_the_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        size = (96, 128) if number == 3 else SIZE
        frames = list(rng.integers(0, 40 if number in (2, 5, 8, 9) else 256, (6, *size, 3), dtype=np.uint8))
        write_video(tmp_path / "line" / f"{number:02d}.mp4", frames[:1] * 6 if number == 7 else frames)
    settings = FitSettings(method="grey_without_one", device="cpu", every=1)
    dataset = Clips(tmp_path / "line", "clips:line", tmp_path)
    run = fit(settings, dataset, tmp_path / "runs", film_registry())
    told = [str(value) for name, value in run.record.facts.items() if name.startswith(ODD_CLIPS)]
    assert told[0].startswith("in 1 of 12 clips nothing changes")
    assert [line.partition(": ")[2].partition(";")[0] for line in told] == [
        "07.mp4",
        "02.mp4, 05.mp4, 08.mp4, 09.mp4",
        "03.mp4 (128×96)",
    ]

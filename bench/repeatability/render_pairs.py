"""Two photos each of rendered persons, by the portrait renderer's interpreter: `render_pairs.py RENDERER SEED N OUT`.

NNN-a.jpg is person NNN of the patient prior as drawn, NNN-b.jpg the same person in another scene of light, the head
turned by at most TURN in any direction. What is there is not drawn again.
"""

import os
import sys
from pathlib import Path

SIZE, QUALITY = 256, 92
TURN = 0.17  # radians, 10 degrees


def main(renderer: str, seed: int, persons: int, out: Path) -> None:
    sys.dont_write_bytecode = True  # the renderer's folder stays clean
    sys.path.insert(0, renderer)
    import cv2
    import numpy as np
    from factors import SCENES, draw
    from renderer import Renderer

    out.mkdir(parents=True, exist_ok=True)
    drawing = Renderer()
    for person in range(persons):
        first, rng = draw("patients", seed, person), np.random.default_rng([seed, 77, person])
        turn, way = TURN * np.sqrt(rng.random()), 2 * np.pi * rng.random()
        other = first.changed(
            scene=str(rng.choice([scene for scene in SCENES if scene != first.scene])),
            light_seed=int(rng.integers(1 << 31)),
            yaw=first.yaw + turn * np.cos(way),
            pitch=first.pitch + turn * np.sin(way),
        )
        for name, factors in (("a", first), ("b", other)):
            path = out / f"{person:03d}-{name}.jpg"
            if not path.exists():
                drawn = drawing.render(factors, SIZE, 0)
                image = drawn[0] if isinstance(drawn, tuple) else drawn
                encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
                path.with_suffix(".tmp").write_bytes(encoded.tobytes())
                os.replace(path.with_suffix(".tmp"), path)
        print(f"{person + 1} of {persons} persons drawn", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

"""From a study's photos to its codes: blocks of photos, engines that work on them, parts on disk, one file at the end.

record.py says what shaped a code, blocks.py embeds one block, parts.py keeps what is finished, local.py and
ray_engine.py hand blocks to workers, run.py drives a run, `study/embedding/command.py` is its command.
"""

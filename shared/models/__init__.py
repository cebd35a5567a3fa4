"""What the small files of strangers' models say, and what was named in a model's place. No weights are read here.

(`shared.models.model_files` fetches and reads the files; weights are `trainer.model`'s.)
"""

"""The bundle, what training hands on: model, transform, signature; and the one predictor over it.

Files: `model.onnx` (input: (rows, width) float32; output: (rows, outputs) float32),
`transform.json` (`lastmile.features.transform.Transform`), `signature.json` (`Signature`).
A model from any framework that comes as these three files takes the same road.
"""

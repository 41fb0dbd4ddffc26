"""What Lastmile adds to Keras: layers, and the way out to ONNX."""

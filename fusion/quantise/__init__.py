"""Networks in 8 bits: symmetric signed, scales per channel of the weights, said in the ONNX file by Q/DQ nodes.

Read `quantise.py` first: calibrate (`ranges`), find what loses too much (`scan`), write (`qdq`), compare (`parity`).
"""

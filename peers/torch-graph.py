#!/usr/bin/env python3
"""PyTorch with CUDA graphs as a contender in `wootz scale`: `torch.py`, each call captured once.

    wootz scale --with peers/torch.py --with peers/torch-graph.py
"""

import os
import sys

program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch.py")
os.execv(sys.executable, [sys.executable, program, "--graph", *sys.argv[1:]])

print("bpmaster")

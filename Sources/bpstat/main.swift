print("bpstat")

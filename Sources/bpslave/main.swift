print("bpslave")

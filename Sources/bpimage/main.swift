import ArgumentParser

ImageCommand.main()

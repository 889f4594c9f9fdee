// Long fuzzing runs by hand, and single runs again.
//
//   fuzz list                       names of the targets
//   fuzz TARGET SECONDS [FIRST]     damaged inputs from seed FIRST on, until the time is over
//   fuzz TARGET --seed N            one run again
//   fuzz TARGET --file PATH         one input from a file
//   fuzz save                       writes the targets' valid inputs into the corpus
import FuzzTargets
import Glibc

func fail(_ message: String) -> Never {
    let line = "fuzz: \(message)\n"
    _ = write(2, line, line.utf8.count)
    exit(1)
}

func run(_ target: FuzzTarget, seed: UInt64, corpus: [[UInt8]]) {
    CrashNote.set(target: target.name, seed: seed)
    if let fault = target.run(target.input(seed: seed, corpus: corpus)) {
        fail("target \(target.name), seed \(seed): \(fault)")
    }
}

let arguments = CommandLine.arguments.dropFirst()
guard let name = arguments.first else {
    fail("usage: fuzz list | save | TARGET SECONDS [FIRST] | TARGET --seed N | TARGET --file PATH")
}
if name == "list" {
    for target in FuzzTarget.all { print(target.name) }
    exit(0)
}
if name == "save" {
    for target in FuzzTarget.all where !FuzzCorpus.save(target) {
        fail("cannot write \(FuzzCorpus.folder(of: target))")
    }
    exit(0)
}
guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
    fail("there is no target \(name)")
}
CrashNote.install()
let corpus = FuzzCorpus.inputs(of: target)
let rest = Array(arguments.dropFirst())
switch (rest.first, rest.count) {
case ("--seed", 2):
    guard let seed = UInt64(rest[1]) else { fail("\(rest[1]) is not a seed") }
    run(target, seed: seed, corpus: corpus)
case ("--file", 2):
    guard let bytes = FuzzCorpus.read(rest[1]) else { fail("cannot read \(rest[1])") }
    CrashNote.set(target: target.name, seed: 0)
    if let fault = target.run(bytes) { fail("\(rest[1]): \(fault)") }
case (.some(let word), 1...2):
    guard let seconds = Int(word), let first = UInt64(rest.count == 2 ? rest[1] : "0") else {
        fail("SECONDS and FIRST are numbers")
    }
    let end = time(nil) + seconds
    var seed = first
    while time(nil) < end {
        for _ in 0..<256 {
            run(target, seed: seed, corpus: corpus)
            seed &+= 1
        }
    }
    print("\(target.name): seeds \(first) to \(seed &- 1), no fault")
default: fail("SECONDS, --seed N or --file PATH")
}

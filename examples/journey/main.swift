// A process that travels over all nodes that are up and home again, in the middle of its work:
// what it has gathered goes along, and nobody sends or saves anything.
//
//     swift build -c release --product journey; .build/release/journey

import BProc
import Glibc

let cluster = Cluster()
do {
    let nodes = try cluster.nodes().filter { $0.state == "up" }.map(\.number)
    var diary: [(node: Int32, processNumber: Int32)] = []
    for node in nodes {
        try cluster.move(to: node)
        diary.append((cluster.currentNode, getpid()))
    }
    try cluster.move(to: -1)  // the front end
    for entry in diary { print("on node \(entry.node) as process \(entry.processNumber)") }
    print("\(diary.count) nodes seen")
} catch {
    print("the journey ends on node \(cluster.currentNode): \(error)")
    exit(1)
}

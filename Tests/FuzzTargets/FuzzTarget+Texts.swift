import NodeSpec

extension FuzzTarget {
    static let textTargets: [FuzzTarget] = [
        FuzzTarget(
            "nodes",
            seeds: {
                [
                    "0-3,7", "n12-", "master,all,up", "notdown,allup,allnotdown", ".5,n0-n9,-1",
                    "2147483647,0-2147483647", "7-,7-,7-",
                ].map { Array($0.utf8) }
            },
            run: { bytes in nodeSpecification(String(decoding: bytes, as: UTF8.self)) })
    ]

    private static let known = (0..<40).map {
        NodeInfo(number: NodeNumber($0 * 3), state: $0 % 2 == 0 ? "up" : "down")
    }

    private static func nodeSpecification(_ text: String) -> String? {
        do throws(NodeSpecificationError) {
            let specification = try NodeSpecification(parsing: text)
            let spelling = specification.description
            guard (try? NodeSpecification(parsing: spelling)) == specification else {
                return "\(spelling) is read as another specification"
            }
            let resolution = try specification.resolve(against: known)
            let numbers = Set(known.map(\.number)).union([.master])
            let strangers = resolution.nodes.filter { !numbers.contains($0) }
            return strangers.isEmpty ? nil : "\(strangers) do not exist"
        } catch {
            return "\(error)".isEmpty ? "an error without a sentence" : nil
        }
    }
}

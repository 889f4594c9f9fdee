import Glibc
import Testing

// Programs of Tests/Programs that run cases by their names (support.h).
extension TestCluster {
    /// A folder that processes of every user may write to, named below those of the cluster.
    func openFolder(_ name: String) -> String {
        let place = "\(folder)/tmp/\(name)"
        mkdir(place, 0o777)
        chmod(place, 0o777)
        return place
    }

    /// Runs one case in a folder of its own, which it answers.
    @discardableResult func expectRight(
        _ name: String, of program: String, through wrapper: [String] = []
    ) throws -> String {
        let folder = openFolder("\(name)\(wrapper.count)")
        let words = wrapper + [program, name, folder]
        let outcome = try command(words[0], Array(words.dropFirst()))
        #expect(outcome.status == 0, "\(name): \(outcome.errorText)")
        #expect(outcome.text == "\(name): right\n", "\(name)")
        return folder
    }
}

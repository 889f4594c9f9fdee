import System
import Testing

@Suite struct OwnedDescriptorTests {
    @Test func closesWhenDropped() throws {
        let copy = try OwnedDescriptor(adopting: 2).duplicateAndRelease()
        let number = copy.number
        _ = consume copy
        #expect(throws: SystemCallError.self) {
            _ = try OwnedDescriptor(adopting: number).duplicateAndRelease()
        }
    }
}

extension OwnedDescriptor {
    /// A duplicate, while the descriptor itself stays open for its real owner.
    consuming func duplicateAndRelease() throws(SystemCallError) -> OwnedDescriptor {
        let number = release()
        let borrowed = OwnedDescriptor(adopting: number)
        do {
            let copy = try borrowed.duplicate()
            _ = borrowed.release()
            return copy
        } catch {
            _ = borrowed.release()
            throw error
        }
    }
}

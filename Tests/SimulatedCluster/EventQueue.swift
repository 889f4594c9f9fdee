/// What happens when, in virtual time: a binary heap, ties in the order they were put in.
struct EventQueue<Event> {
    private var heap: [(time: UInt64, order: UInt64, event: Event)] = []
    private var nextOrder: UInt64 = 0

    var isEmpty: Bool { heap.isEmpty }
    var nextTime: UInt64? { heap.first?.time }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        (heap[left].time, heap[left].order) < (heap[right].time, heap[right].order)
    }

    mutating func insert(_ event: Event, at time: UInt64) {
        heap.append((time, nextOrder, event))
        nextOrder += 1
        var index = heap.count - 1
        while index > 0, isBefore(index, (index - 1) / 2) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func removeFirst() -> (time: UInt64, event: Event) {
        let first = heap[0]
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var index = 0
            while true {
                var smallest = index
                for child in [2 * index + 1, 2 * index + 2]
                where child < heap.count && isBefore(child, smallest) { smallest = child }
                guard smallest != index else { break }
                heap.swapAt(index, smallest)
                index = smallest
            }
        }
        return (first.time, first.event)
    }
}

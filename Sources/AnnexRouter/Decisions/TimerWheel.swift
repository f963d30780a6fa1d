/// Knows when each request is looked at next. It has one list of requests for each 1.05 ms, so that setting and
/// clearing a timer is O(1) and allocates nothing. The links lie in the requests.
struct TimerWheel {
    /// The wheel reaches 2.1 s ahead. What is due later is looked at on the way and put in again.
    static let size = 2_048
    private static let shift: UInt64 = 20

    private var heads = [Int32](repeating: -1, count: Self.size)
    /// Names the list that the last tick ended in, which holds what was not yet due.
    private var current: UInt64

    init(now: UInt64) { self.current = now >> Self.shift }

    mutating func set(_ index: Int32, to time: UInt64, _ requests: inout SlotTable<PendingRequest>) {
        let list = Int(self.list(of: time) % UInt64(Self.size))
        let head = self.heads[list]
        requests[index].wake = time
        requests[index].timerList = Int32(list)
        requests[index].timerBefore = -1
        requests[index].timerAfter = head
        if head >= 0 { requests[head].timerBefore = index }
        self.heads[list] = index
    }

    mutating func clear(_ index: Int32, _ requests: inout SlotTable<PendingRequest>) {
        let (before, after) = (requests[index].timerBefore, requests[index].timerAfter)
        if before >= 0 {
            requests[before].timerAfter = after
        } else {
            self.heads[Int(requests[index].timerList)] = after
        }
        if after >= 0 { requests[after].timerBefore = before }
    }

    /// Takes out every request whose time has come and appends it to `due`. O(lists passed + requests in them).
    mutating func advance(to now: UInt64, _ requests: inout SlotTable<PendingRequest>, due: inout [Int32]) {
        let end = now >> Self.shift
        guard end >= self.current else { return }
        let passed = min(end - self.current, UInt64(Self.size - 1))
        let first = end - passed
        // Timers that are set from now on go no further back than the list that stays under watch.
        self.current = end
        for list in first...end {
            var index = self.heads[Int(list % UInt64(Self.size))]
            while index >= 0 {
                let after = requests[index].timerAfter
                let wake = requests[index].wake
                if wake <= now {
                    self.clear(index, &requests)
                    due.append(index)
                } else if wake >> Self.shift != list {
                    self.clear(index, &requests)
                    self.set(index, to: wake, &requests)
                }
                index = after
            }
        }
    }

    /// Returns the list of a time: not before the current one, nor further ahead than the wheel reaches.
    private func list(of time: UInt64) -> UInt64 {
        min(max(time >> Self.shift, self.current), self.current.saturatingAdd(UInt64(Self.size - 1)))
    }
}

/// Records in rows that are used again, so that a steady state allocates nothing. Each row counts its tenants: what was
/// said to one of them does not reach the next. O(1) throughout.
struct SlotTable<Record> {
    private struct Row {
        var record: Record
        var generation: UInt32
        /// Names the next free row. It is -1 at the end, and -2 where the row is taken.
        var nextFree: Int32
    }

    private var rows: [Row] = []
    private var firstFree: Int32 = -1
    private(set) var count = 0

    init(reserving capacity: Int) { self.rows.reserveCapacity(capacity) }

    /// Counts the places that exist, taken or not.
    var capacity: Int { self.rows.count }

    mutating func insert(_ record: Record) -> (index: Int32, generation: UInt32) {
        self.count += 1
        let index = self.firstFree
        guard index >= 0 else {
            self.rows.append(Row(record: record, generation: 0, nextFree: -2))
            return (Int32(self.rows.count - 1), 0)
        }
        let row = Int(index)
        self.firstFree = self.rows[row].nextFree
        self.rows[row].nextFree = -2
        self.rows[row].record = record
        return (index, self.rows[row].generation)
    }

    mutating func remove(_ index: Int32) {
        let row = Int(index)
        self.rows[row].generation &+= 1
        self.rows[row].nextFree = self.firstFree
        self.firstFree = index
        self.count -= 1
    }

    /// Tells whether the tenant that was meant is still there. False for whatever was never handed out.
    func holds(_ index: Int32, _ generation: UInt32) -> Bool {
        index >= 0 && Int(index) < self.rows.count && self.rows[Int(index)].nextFree == -2
            && self.rows[Int(index)].generation == generation
    }

    func generation(_ index: Int32) -> UInt32 { self.rows[Int(index)].generation }

    subscript(_ index: Int32) -> Record {
        _read { yield self.rows[Int(index)].record }
        _modify { yield &self.rows[Int(index)].record }
    }
}

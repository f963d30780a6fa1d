/// Records at places that are used again, so that a steady state allocates nothing. Each place counts its tenants: what was
/// said to one of them does not reach the next. O(1) throughout.
struct SlotTable<Record> {
    private struct Place {
        var record: Record
        var generation: UInt32
        /// The next free place, -1 at the end; -2 where the place is taken.
        var nextFree: Int32
    }

    private var places: [Place] = []
    private var firstFree: Int32 = -1
    private(set) var count = 0

    init(reserving capacity: Int) { self.places.reserveCapacity(capacity) }

    /// Places that exist, taken or not.
    var capacity: Int { self.places.count }

    mutating func insert(_ record: Record) -> (index: Int32, generation: UInt32) {
        self.count += 1
        let index = self.firstFree
        guard index >= 0 else {
            self.places.append(Place(record: record, generation: 0, nextFree: -2))
            return (Int32(self.places.count - 1), 0)
        }
        let place = Int(index)
        self.firstFree = self.places[place].nextFree
        self.places[place].nextFree = -2
        self.places[place].record = record
        return (index, self.places[place].generation)
    }

    mutating func remove(_ index: Int32) {
        let place = Int(index)
        self.places[place].generation &+= 1
        self.places[place].nextFree = self.firstFree
        self.firstFree = index
        self.count -= 1
    }

    /// Whether the tenant that was meant is still there. False for whatever was never handed out.
    func holds(_ index: Int32, _ generation: UInt32) -> Bool {
        index >= 0 && Int(index) < self.places.count && self.places[Int(index)].nextFree == -2
            && self.places[Int(index)].generation == generation
    }

    func generation(_ index: Int32) -> UInt32 { self.places[Int(index)].generation }

    subscript(_ index: Int32) -> Record {
        _read { yield self.places[Int(index)].record }
        _modify { yield &self.places[Int(index)].record }
    }
}

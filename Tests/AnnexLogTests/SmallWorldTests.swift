import AnnexCore
import AnnexLog
import Testing

/// Three replicas and a log in one thread, with everything going wrong that can, from a seed.
struct SmallWorld {
    typealias Machine = ReplicationMachine<Int, String>

    struct Replica {
        var machine: Machine
        /// What is durable, in the order of applying, and up to where.
        var state: [EntryKey] = []
        var mark = LogMark.start
        /// Entries that were handed over and are not durable.
        var storing: [(position: LogPosition, after: LogPosition, key: EntryKey?)] = []
        var inbox: [Machine.Event] = []
        var isConnected = false
    }

    private var random: SeededRandom
    private let acknowledgement: LogAcknowledgement
    private let fault: PlantedFault?
    private(set) var log: [(position: LogPosition, entry: LogEntry<Int>)] = []
    private(set) var replicas: [Replica] = []
    private(set) var faults: [String: Int] = [:]
    private(set) var wrong: [String] = []
    private(set) var acknowledgedCount = 0
    private var asked: [UInt64: Int] = [:]
    private var refusedForSure: Set<Int> = []
    private var now: Int64 = 0
    private var tokens: UInt64 = 0

    init(seed: UInt64, fault: PlantedFault? = nil) {
        self.random = SeededRandom(seed: seed)
        self.acknowledgement = seed % 2 == 0 ? .replica : .log
        self.fault = fault
        for _ in 0..<3 { self.replicas.append(Replica(machine: self.machine(.start))) }
    }

    private mutating func machine(_ mark: LogMark) -> Machine {
        var settings = ReplicationSettings()
        settings.acknowledgement = self.acknowledgement
        settings.readCount = 3
        let origin = EntryKey.Origin(high: self.random.next(), low: self.random.next())
        return Machine(origin: origin, blocks: [0], marks: [mark], settings: settings, fault: self.fault)
    }

    private mutating func count(_ fault: String) { self.faults[fault, default: 0] += 1 }

    mutating func run(steps: Int) {
        for _ in 0..<steps { self.step() }
        // Then all is well for a while.
        for _ in 0..<150 {
            self.now += 60
            for place in self.replicas.indices {
                if !self.replicas[place].isConnected { self.connect(place) }
                // A read that finds nothing is answered at once here, and asked again.
                for _ in 0..<20 where !self.replicas[place].inbox.isEmpty { self.deliver(place) }
                self.store(place, limit: .max)
                self.send(place, .tick)
            }
        }
        let keys = self.log.map(\.entry.key)
        if Set(keys).count != keys.count { self.wrong.append("an entry was appended twice") }
        for replica in self.replicas where replica.state != keys {
            self.wrong.append("a replica has not the log's entries in their order")
        }
        for entry in self.log where self.refusedForSure.contains(entry.entry.change) {
            self.wrong.append("stored what was refused")
        }
    }

    private mutating func step() {
        let place = self.random.below(self.replicas.count)
        self.now += Int64(self.random.below(80))
        switch self.random.below(100) {
        case 0..<25 where self.log.count < 400:
            self.tokens += 1
            self.asked[self.tokens] = place
            self.send(
                place,
                .change(token: self.tokens, block: 0, Int(self.tokens), needsOutcome: self.random.below(4) == 0)
            )
        case 25..<60: if !self.replicas[place].inbox.isEmpty { self.deliver(place) }
        case 60..<78: self.store(place, limit: 1 + self.random.below(4))
        case 78..<84: self.send(place, .tick)
        case 84..<92: if !self.replicas[place].isConnected { self.connect(place) }
        case 92..<95 where self.replicas[place].isConnected:
            self.count("cut")
            self.replicas[place].isConnected = false
            self.replicas[place].inbox = []
            self.send(place, .disconnected("cut"))
        case 95..<97:
            self.count("kill")
            let mark = self.replicas[place].mark
            self.replicas[place] = Replica(machine: self.machine(mark), state: self.replicas[place].state, mark: mark)
            self.asked = self.asked.filter { $0.value != place }
        case 97..<99 where !self.replicas[place].storing.isEmpty:
            self.count("disk")
            let failed = self.replicas[place].storing
            self.replicas[place].storing = []
            for _ in failed { self.send(place, .applyFailed(block: 0, "no space")) }
        default: break
        }
    }

    private mutating func connect(_ place: Int) {
        self.replicas[place].isConnected = true
        self.send(place, .connected)
    }

    private mutating func deliver(_ place: Int) { self.send(place, self.replicas[place].inbox.removeFirst()) }

    private mutating func store(_ place: Int, limit: Int) {
        for _ in 0..<min(limit, self.replicas[place].storing.count) {
            let entry = self.replicas[place].storing.removeFirst()
            let mark = self.replicas[place].mark
            if entry.position <= mark.position {
                self.send(place, .applied(block: 0, mark, entry.key, nil))
            } else if entry.after == mark.position {
                let next = LogMark(position: entry.position, count: mark.count + 1)
                self.replicas[place].mark = next
                if let key = entry.key { self.replicas[place].state.append(key) }
                self.send(place, .applied(block: 0, next, entry.key, "done"))
            } else {
                self.send(place, .applyFailed(block: 0, "a gap"))
            }
        }
    }

    private mutating func send(_ place: Int, _ event: Machine.Event) {
        for action in self.replicas[place].machine.handle(event, at: self.now) { self.perform(place, action) }
    }

    private mutating func perform(_ place: Int, _ action: Machine.Action) {
        switch action {
        case .append(let entry):
            guard self.replicas[place].isConnected else { return }
            if self.random.below(20) == 0 { return self.count("append lost") }
            let position = LogPosition(milliseconds: UInt64(self.log.count + 1), sequence: 0)
            self.log.append((position, entry))
            if self.random.below(10) == 0 { return self.count("answer lost") }
            self.replicas[place].inbox.append(.appended(sequence: entry.key.sequence, position))
        case .read(let number, let blocks):
            let after = blocks[0].after
            let found = self.log.lazy.filter { $0.position > after }.prefix(3)
                .map { ReadEntry(position: $0.position, content: $0.entry) }
            self.replicas[place].inbox.append(.read(number: number, [(0, Array(found))]))
        case .check(let number, let marks):
            var facts = StreamFacts(block: 0, mark: marks[0].mark)
            facts.exists = !self.log.isEmpty
            (facts.last, facts.first) = (self.log.last?.position ?? .start, self.log.first?.position)
            (facts.added, facts.length) = (UInt64(self.log.count), UInt64(self.log.count))
            facts.hasEntry = self.log.contains { $0.position == marks[0].mark.position }
            if let problem = LogProblem(facts) { self.wrong.append("\(problem)") }
            self.replicas[place].inbox.append(.checked(number: number, [facts]))
        case .apply(let batch):
            var after = batch.after
            for entry in batch.entries {
                self.replicas[place].storing.append((entry.position, after, entry.content?.key))
                after = entry.position
            }
        case .acknowledge(let token, _, let position, let outcome): self.acknowledged(place, token, position, outcome)
        case .refuse(let token, let reason):
            guard self.asked.removeValue(forKey: token) == place else { return self.wrong.append("answered twice") }
            if reason.isStored == false { self.refusedForSure.insert(Int(token)) }
        }
    }

    private mutating func acknowledged(_ place: Int, _ token: UInt64, _ position: LogPosition, _ outcome: String?) {
        self.acknowledgedCount += 1
        guard self.asked.removeValue(forKey: token) == place else { return self.wrong.append("answered twice") }
        guard let stored = self.log.first(where: { $0.position == position }), stored.entry.change == Int(token) else {
            return self.wrong.append("acknowledged what the log does not have")
        }
        let isApplied = self.replicas[place].state.contains(stored.entry.key)
        if self.acknowledgement == .replica || outcome != nil, !isApplied {
            self.wrong.append("acknowledged before applied")
        }
    }
}

@Suite struct SmallWorldTests {
    private static let seeds: UInt64 = 150

    @Test func nothingThatIsAcknowledgedIsLost() {
        var faults: [String: Int] = [:]
        var acknowledged = 0
        for seed in 0..<Self.seeds {
            var world = SmallWorld(seed: seed)
            world.run(steps: 600)
            #expect(world.wrong.isEmpty, "seed \(seed): \(world.wrong.prefix(3))")
            faults.merge(world.faults) { $0 + $1 }
            acknowledged += world.acknowledgedCount
        }
        #expect(Set(faults.keys) == ["cut", "kill", "disk", "append lost", "answer lost"])
        #expect(acknowledged > 1_000)
        print(
            "SmallWorldTests: \(Self.seeds) seeds, \(acknowledged) acknowledged, faults: \(faults.sorted { $0.key < $1.key })"
        )
    }

    @Test func aPlantedFaultIsFound() {
        let found = (0..<Self.seeds).first { seed in
            var world = SmallWorld(seed: seed, fault: .acknowledgesBeforeAppend)
            world.run(steps: 600)
            return !world.wrong.isEmpty
        }
        #expect(found != nil)
    }
}

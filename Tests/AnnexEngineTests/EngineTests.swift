import AnnexCore
import AnnexEngine
import AnnexIndex
import AnnexTestSupport
import AnnexVersionSupport
import Dispatch
import Foundation
import Synchronization
import Testing

@Suite struct EngineTests {
    private func engine(_ versions: [SmallVersion]) throws -> Engine {
        let descriptions = versions.map(\.description)
        return try Engine(indexes: [descriptions[0].index]) { _, wanted in
            let name = wanted?.value ?? descriptions[0].version.value
            guard let found = descriptions.first(where: { $0.version.value == name }) else {
                throw AnnexError(.notFound, "no version \(name)")
            }
            return try ServedVersion(loading: found)
        }
    }

    @Test func aSwapChangesTheGenerationAndAFailedOneDoesNot() throws {
        let first = try SmallVersion(version: "v1", items: 100, dimension: 8)
        let second = try SmallVersion(version: "v2", items: 150, dimension: 8, seed: 5)
        let engine = try self.engine([first, second])
        let swaps = Mutex(0)
        engine.onSwap { swaps.withLock { $0 += 1 } }
        let index = first.description.index
        let before = engine.generation
        #expect(engine.versions.map(\.description.itemCount) == [100])
        #expect(try engine.reload(index, version: EntryName("v2")).value == "v2")
        #expect(engine.generation == before + 1 && swaps.withLock { $0 } == 1)
        #expect(engine.versions.map(\.description.itemCount) == [150])
        #expect(throws: AnnexError.self) { try engine.reload(index, version: EntryName("v9")) }
        #expect(engine.generation == before + 1 && engine.versions.map(\.description.itemCount) == [150])
        let status = engine.status(of: index)
        #expect(status.reloads == 1 && status.failedReloads == 1 && status.lastError?.contains("no version v9") == true)
        #expect(try engine.reload(index, version: nil).value == "v1")
        #expect(engine.status(of: index).lastError == nil)
    }

    /// Several RELOADs at once are as few loads as can serve them: one that runs is joined where it is of the same named version,
    /// one that waits is joined by all that want the same.
    @Test func reloadsAreJoined() throws {
        let first = try SmallVersion(version: "v1", items: 100, dimension: 8)
        let second = try SmallVersion(version: "v2", items: 150, dimension: 8, seed: 5)
        let (begun, gate, answered) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
        )
        let loads = Mutex<[String]>([])
        let index = first.description.index
        let engine = try Engine(indexes: [index]) { _, version in
            let isFirst = loads.withLock { loads in
                loads.append(version?.value ?? "current")
                return loads.count == 1
            }
            if !isFirst {
                begun.signal()
                gate.wait()
            }
            return try ServedVersion(loading: version?.value == "v2" ? second.description : first.description)
        }
        let results = Mutex<[String]>([])
        func ask(_ version: String?) {
            engine.reload(index, version: version.flatMap { EntryName($0) }) { result in
                results.withLock { $0.append((try? result.get())?.value ?? "failed") }
                answered.signal()
            }
        }
        ask("v2")
        begun.wait()
        for _ in 0..<3 { ask("v2") }
        for _ in 0..<5 { ask(nil) }
        for _ in 0..<2 { gate.signal() }
        for _ in 0..<9 { answered.wait() }
        #expect(loads.withLock { $0 } == ["current", "v2", "current"])
        #expect(results.withLock { $0 } == Array(repeating: "v2", count: 4) + Array(repeating: "v1", count: 5))
        #expect(engine.versions.first?.description.version.value == "v1")
    }

    /// Who holds a version keeps it while others swap; who asks anew gets the new one.
    @Test func aVersionInUseOutlivesItsSwap() throws {
        let first = try SmallVersion(version: "v1", items: 100, users: 3, dimension: 8)
        let second = try SmallVersion(version: "v2", items: 150, users: 3, dimension: 8, seed: 5)
        let engine = try self.engine([first, second])
        let held = try #require(engine.versions.first)
        let context = try QueryContext(held)
        weak let gone = engine.versions.first
        _ = try engine.reload(first.description.index, version: EntryName("v2"))
        #expect(gone === held)
        context.useItem(3)
        #expect(try context.search(k: 200, effort: .exact).candidates == 100)
        #expect(context.hits.count == 100)
    }

    @Test(arguments: ["HNSW8", "IVF4,SQ8", "Flat"], Metric.allCases)
    func withAndWithoutCodesTheSameTruth(_ kind: String, _ metric: Metric) throws {
        var small = try SmallVersion(items: 400, users: 5, dimension: 12, kind: kind, metric: metric)
        let annex = try ServedVersion(loading: small.description)
        small.description.files.serving = nil
        let faiss = try ServedVersion(loading: small.description)
        #expect(annex.layoutBytes > 0 && faiss.layoutBytes == 0)
        let (one, other) = (try QueryContext(annex), try QueryContext(faiss))
        for user in 0..<5 {
            for context in [one, other] {
                let request = UserRequest(excluded: Array(0..<20))
                #expect(try Self.use("u\(user)", context, request) == .ready && context.excludedCount == 20)
                _ = try context.search(k: 30, effort: .exact)
            }
            #expect(one.hits == other.hits && one.hits.count == 30)
            #expect(one.hits.allSatisfy { $0.ordinal >= 20 && one.score($0.ordinal) == $0.score })
        }
    }

    private static func use(
        _ user: String,
        _ context: QueryContext,
        _ request: UserRequest = UserRequest()
    ) throws -> UserReadiness {
        try context.useUser(Array(user.utf8).span, request)
    }

    @Test func aQueryVectorIsChecked() throws {
        let small = try SmallVersion(items: 50, users: 1, dimension: 4)
        let version = try ServedVersion(loading: small.description)
        defer { withExtendedLifetime(version) {} }
        let context = try QueryContext(version)
        #expect(context.useVector(count: 3) { _ in 1 } == .length(3))
        #expect(context.useVector(count: 5) { _ in 1 } == .length(5))
        #expect(context.useVector(count: 4) { $0 == 2 ? .nan : 1 } == .notFinite(position: 2))
        #expect(context.useVector(count: 4) { $0 == 0 ? -.infinity : 1 } == .notFinite(position: 0))
        #expect(context.useVector(count: 4) { $0 == 3 ? nil : 1 } == .notFinite(position: 3))
        #expect(context.useVector(count: 4) { Float($0) } == nil)
        #expect(try Self.use("nobody", context) == .unknown)
        // All zeros: every score is 0, so ids decide.
        #expect(context.useVector(count: 4) { _ in 0 } == nil)
        for effort in [SearchEffort.exact, .efSearch(64)] {
            _ = try context.search(k: 5, effort: effort)
            #expect(context.hits.count == 5 && context.hits.allSatisfy { $0.score == 0 })
        }
        _ = try context.search(k: 5, effort: .exact)
        #expect(context.hits.map(\.ordinal) == [0, 1, 2, 3, 4])
    }

    @Test func partsThatContradictTheDescriptionAreRefused() throws {
        let small = try SmallVersion(items: 100, users: 7, dimension: 8, kind: "IVF4,Flat")
        let changes: [(String, (inout VersionDescription) -> Void)] = [
            ("items", { $0.itemCount = 101 }), ("users", { $0.userCount = 8 }), ("dimension", { $0.dimension = 16 }),
            ("metric", { $0.metric = .cosine }), ("no users", { $0.files.users = nil }),
            ("a file that is not there", { $0.files.serving = "/nonexistent" }),
        ]
        for (what, change) in changes {
            var description = small.description
            change(&description)
            #expect(throws: AnnexError.self, "\(what)") { try ServedVersion(loading: description) }
        }
        try ServedVersion(loading: small.description).warm()
    }
}

@Suite struct WorkEstimateTests {
    private func description(_ kind: String, items: Int) throws -> VersionDescription {
        var small = try SmallVersion(items: 60, users: 1, dimension: 128, kind: kind).description
        small.itemCount = items
        small.readsByKappa = [(0.3, 700), (0.5, 1_600)]
        return small
    }

    @Test func whatIsLongLeavesTheLoop() throws {
        let budget = WorkEstimate.loopBudgetNanos
        let million = try self.description("IVF8,SQ8", items: 1_000_000)
        #expect(WorkEstimate.nanos(of: .kappa(0.5), k: 10, in: million) < budget)
        #expect(WorkEstimate.nanos(of: .kappa(0.9), k: 10, in: million) > budget, "above the table: as long as a scan")
        #expect(WorkEstimate.nanos(of: .kappa(0.5), k: 10, excluded: 10_000, in: million) > budget)
        #expect(WorkEstimate.nanos(of: .exact, k: 10, in: million) > budget)
        let gowalla = try self.description("IVF8,SQ8", items: 41_000)
        #expect(WorkEstimate.nanos(of: .exact, k: 10, in: gowalla) < budget)
        #expect(WorkEstimate.nanos(of: .kappa(0.5), k: 10_000, in: gowalla) > budget)
        let graph = try self.description("HNSW16", items: 1_000_000)
        #expect(WorkEstimate.nanos(of: .efSearch(64), k: 10, in: graph) < budget)
        #expect(WorkEstimate.nanos(of: .efSearch(65_536), k: 10, in: graph) > budget)
        #expect(WorkEstimate.nanos(of: .efSearch(64), k: 10, excluded: 600_000, in: graph) > budget)
    }

    @Test func moreWorkIsNeverEstimatedLower() throws {
        for kind in ["Flat", "HNSW16", "IVF8,SQ8"] {
            let version = try self.description(kind, items: 100_000)
            let efforts: [SearchEffort] = [.exact, .efSearch(50), .nprobe(2), .kappa(0.4)]
            for effort in efforts where version.accepts(effort) {
                var last = 0.0
                for (k, excluded) in [(1, 0), (10, 0), (10, 100), (100, 1_000), (10_000, 50_000)] {
                    let nanos = WorkEstimate.nanos(of: effort, k: k, excluded: excluded, in: version)
                    #expect(nanos >= last)
                    last = nanos
                }
            }
        }
    }

    @Test func effortsThatAnIndexHas() throws {
        let all: [SearchEffort] = [.exact, .efSearch(9), .nprobe(2), .kappa(0.5)]
        func accepted(_ kind: String, _ metric: Metric, serving: Bool = true) throws -> [Bool] {
            var small = try SmallVersion(items: 60, users: 1, dimension: 8, kind: kind, metric: metric).description
            if !serving { small.files.serving = nil }
            return all.map(small.accepts)
        }
        #expect(try accepted("Flat", .ip) == [true, false, false, false])
        #expect(try accepted("HNSW8", .ip) == [true, true, false, false])
        #expect(try accepted("IVF4,Flat", .ip) == [true, false, true, true])
        #expect(try accepted("IVF4,Flat", .cosine) == [true, false, true, true])
        #expect(try accepted("IVF4,Flat", .l2) == [true, false, true, false])
        #expect(try accepted("IVF4,Flat", .ip, serving: false) == [true, false, true, false])
    }
}
